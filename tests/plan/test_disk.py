"""The disk that a plan takes: each environment once, each conversion once, and what nobody measured said so."""

from __future__ import annotations

from pathlib import Path

from orchestrator.backends import Registry, load_registry
from orchestrator.facts.sizes import Size
from orchestrator.model import IsolationKind
from orchestrator.plan.disk import DiskNeed, disk_lines, disk_need
from orchestrator.plan.plan import make_plan
from tests.config.madeup import BETA, read, write_backend

TEXT = """\
name: demo
models: [spam, minilm]
backends:
  - alpha
  - {label: again, backend: alpha, settings: {level: basic}}
  - beta
batch: [8]
"""
CONVERTED = BETA.replace("formats: [beta]", "formats: [gamma]") + "converter: {output: gamma}\n"


def size(megabytes: float) -> Size:
    return Size(lock="l", installed_mb=megabytes, wheels_mb=megabytes / 4, packages=1)


def need(registry: Registry, sizes: dict[str, Size], *, formats: tuple[str, ...] = ("onnx",)) -> DiskNeed:
    plan = make_plan(read(TEXT, registry), registry)
    parameters = {"spam": 250_000, "minilm": 25_000_000}
    return disk_need(plan, registry, sizes, parameters=parameters, formats=formats, exporter="_models")


def test_an_environment_that_two_rows_share_counts_once(registry: Registry) -> None:
    found = need(registry, {"alpha": size(100), "beta": size(200), "_models": size(1000)})
    assert found.environments_mb == 1300
    assert found.wheels_mb == 325
    assert found.models_mb == 2 * (1 + 100)
    assert found.unknown == ()


def test_what_was_not_measured_is_named(registry: Registry) -> None:
    found = need(registry, {"alpha": size(100)})
    assert set(found.unknown) == {"beta", "_models"}
    assert "more with _models, beta, whose size was not measured" in disk_lines(found, None, None)[0]


def test_images_take_more_than_virtual_environments(registry: Registry) -> None:
    found = need(registry, {"alpha": size(1000), "beta": size(1000), "_models": size(1000)})
    in_images, in_venvs = found.total_mb(IsolationKind.DOCKER), found.total_mb(IsolationKind.VENV)
    assert in_images - in_venvs > 3000
    lines = disk_lines(found, IsolationKind.VENV, 12_345)
    assert "in virtual environments" in lines[0]
    assert "12.3 GB free" in lines[0]
    assert "twice" not in lines[1]


def test_a_conversion_counts_once_for_all_rows_that_need_it(tmp_path: Path) -> None:
    (write_backend(tmp_path / "gamma", CONVERTED) / "converter").mkdir()
    registry = load_registry(tmp_path)
    text = TEXT.replace("alpha", "gamma").replace("settings: {level: basic}", "settings: {}").replace("  - beta\n", "")
    plan = make_plan(read(text, registry), registry)
    parameters = {"spam": 250_000, "minilm": 25_000_000}
    found = disk_need(plan, registry, {}, parameters=parameters, formats=("onnx", "pt2"), exporter="_models")
    assert (found.conversions, found.conversions_mb) == (2, 101)
    assert set(found.environments) == {"_models", "gamma", "gamma/converter"}
    given = disk_need(plan, registry, {}, parameters=parameters, formats=("gamma",), exporter="_models")
    assert given.conversions == 0
    assert set(given.environments) == {"_models", "gamma"}
