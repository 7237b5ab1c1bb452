"""Theano: compiled by g++ or said to be Python, linked to a BLAS or not, and a cache that is never more than counted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.densenets import prepared, small
from tests.adapters.jobs import Prepared, Runner

pytestmark = [pytest.mark.slow, pytest.mark.heavy,
              pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ on this machine")]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared(tmp_path_factory.mktemp("dense"), small())


@pytest.fixture(scope="module")
def converted(runner: Runner, network: Prepared) -> Path:
    path, result = runner.convert("chainer", network)
    assert path is not None, result["failure"]
    return path


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What g++ has compiled for one test serves the next."""
    return str(tmp_path_factory.mktemp("compiled"))


def measured(runner: Runner, network: Prepared, path: Path, kept: str, **changes: Any) -> dict[str, Any]:
    result = runner.trial("theano", network, path, batches=(1, 3), cache_dir=kept, keep_cache=True, **changes)
    assert result["failure"] is None
    assert [cell["status"] for cell in result["cells"]] == ["ok", "ok"], result["cells"]
    assert max(cell["fidelity"]["rel_l2"] for cell in result["cells"]) < 1e-5
    assert result["versions"]["theano"].startswith("1.0.5")
    return dict(result["evidence"])


def test_every_operator_is_compiled_and_a_second_process_that_finds_only_some_of_it_is_no_hit(
        runner: Runner, network: Prepared, converted: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    first, second = (measured(runner, network, converted, str(tmp_path / "cache"), threads=threads) for threads in (1, 2))
    assert first["executed_on"] == ["Theano C"]
    assert first["detail"]["operators_in_python"] == {}
    assert first["detail"]["operators_in_c"]
    assert (first["detail"]["threads"], second["detail"]["threads"]) == (1, 2)
    assert (first["cache"]["hit"], second["cache"]["hit"]) == (False, False)
    assert second["cache"]["detail"]["loaded"] > 0 == first["cache"]["detail"]["loaded"]
    assert 0 < second["cache"]["detail"]["compiled"] < first["cache"]["detail"]["compiled"]


def test_the_linked_blas_is_numpys_own(runner: Runner, network: Prepared, converted: Path, kept: str) -> None:
    detail = measured(runner, network, converted, kept, settings={"trust_input": True, "allow_gc": False})["detail"]
    assert detail["blas_ldflags"].endswith("-lopenblas")
    assert (detail["trust_input"], detail["allow_gc"]) == (True, False)
    assert len([one for one in detail["blas"] if one["of"] == "numpy"]) == 1  # not loaded a second time under another name


def test_without_a_blas_to_link_products_are_said_to_be_python(
        runner: Runner, network: Prepared, converted: Path, kept: str) -> None:
    evidence = measured(runner, network, converted, kept, settings={"blas": "numpy"})
    assert evidence["executed_on"] == ["Theano C", "Theano Python"]
    assert set(evidence["detail"]["operators_in_python"]) == {"Dot22"}
    assert evidence["detail"]["blas_ldflags"] == ""


@pytest.mark.parametrize("settings", [{"mode": "FAST_COMPILE"}, {"cxx": "none"}])
def test_python_is_said_where_it_is_what_was_asked_for(
        settings: dict[str, Any], runner: Runner, network: Prepared, converted: Path, kept: str) -> None:
    evidence = measured(runner, network, converted, kept, settings=settings)
    assert evidence["executed_on"] == ["Theano Python"]
    assert evidence["detail"]["operators_in_c"] == {}


def test_openmp_is_what_was_asked_for(runner: Runner, network: Prepared, converted: Path, kept: str) -> None:
    detail = measured(runner, network, converted, kept, settings={"openmp": True, "openmp_elemwise_minsize": 1})["detail"]
    assert (detail["openmp"], detail["openmp_elemwise_minsize"]) == (True, 1)


def test_without_the_compiler_it_is_unsupported_and_not_python(
        runner: Runner, network: Prepared, converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    failure = runner.trial("theano", network, converted, batches=(1,))["failure"]
    assert failure["kind"] == "unsupported"
    assert "g++" in failure["message"]
