from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.backends import Registry
from orchestrator.config.matrix import MatrixConfig
from orchestrator.config.modelfiles import BATCH_SWEEP, config_for_models
from orchestrator.errors import ConfigError
from orchestrator.model import Scenario
from tests.config.madeup import BUILTIN, MACHINE


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("m.onnx", "a/net.onnx", "b/net.onnx", "x.npz"):
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).touch()


def config(registry: Registry, *models: str, sets: tuple[str, ...] = (), inputs: str | None = None) -> MatrixConfig:
    return config_for_models(
        models, registry, builtin=BUILTIN, machine=MACHINE, shapes={"input": (1, 3)}, inputs=inputs, sets=sets
    )


def test_a_model_file_needs_no_configuration(registry: Registry) -> None:
    got = config(registry, "m.onnx", inputs="x.npz")
    assert got.name == "m"
    assert got.source == "command line"
    assert [row.entry.label for row in got.backends] == ["alpha", "beta"]
    assert got.batches == BATCH_SWEEP
    assert tuple(load.scenario for load in got.scenarios) == (Scenario.SINGLE_STREAM, Scenario.OFFLINE)
    assert got.models[0].path == Path("m.onnx")
    assert got.models[0].shapes == {"input": (1, 3)}
    assert got.models[0].inputs == Path("x.npz")


def test_built_in_models_may_be_named_too_and_keep_their_shapes(registry: Registry) -> None:
    got = config(registry, "spam", "./m.onnx")
    assert [(m.name, m.path, dict(m.shapes)) for m in got.models] == [
        ("spam", None, {}), ("m", Path("m.onnx"), {"input": (1, 3)})
    ]


def test_any_value_can_still_be_set(registry: Registry) -> None:
    got = config(registry, "m.onnx", sets=("batch=4", "backends=beta"))
    assert (got.batches, len(got.backends)) == ((4,), 1)


def test_files_of_the_same_name_are_told_apart_by_their_folders(registry: Registry) -> None:
    assert [m.name for m in config(registry, "a/net.onnx", "b/net.onnx").models] == ["a_net", "b_net"]


def test_the_same_file_twice_is_refused(registry: Registry) -> None:
    with pytest.raises(ConfigError, match="would both be called"):
        config(registry, "m.onnx", "./m.onnx")


def test_a_missing_file_is_one_sentence(registry: Registry) -> None:
    with pytest.raises(ConfigError) as caught:
        config(registry, "n.onnx")
    assert caught.value.message == "n.onnx: the file `n.onnx` does not exist; did you mean `m.onnx`?"


def test_missing_inputs_name_the_option(registry: Registry) -> None:
    with pytest.raises(ConfigError, match=r"^--inputs y\.npz: the file `y\.npz` does not exist"):
        config(registry, "m.onnx", inputs="y.npz")


def test_no_model_and_no_backend_are_told_apart(registry: Registry) -> None:
    with pytest.raises(ConfigError, match="no model was given"):
        config(registry)
    with pytest.raises(ConfigError, match="there is no backend"):
        config(Registry([]), "m.onnx")
