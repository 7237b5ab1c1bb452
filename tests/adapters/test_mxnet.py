"""MXNet's own traps: what fuses, what its importer would pass over, and threads that are read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adapters.breadth import is_right, outcome
from tests.adapters.jobs import Prepared, Runner
from tests.adapters.strange import slopes, weightless

pytestmark = [pytest.mark.slow, pytest.mark.heavy]


@pytest.fixture(scope="module")
def digits(runner: Runner) -> Prepared:
    return runner.export("digits")


@pytest.fixture(scope="module")
def converted(runner: Runner, digits: Prepared) -> Path:
    path, result = runner.convert("mxnet", digits)
    assert path is not None, result["failure"]
    return path


@pytest.mark.parametrize("subgraph", ["none", "MKLDNN"])
def test_a_convolution_network_agrees_in_every_batch_and_with_fused_operators(
    runner: Runner, digits: Prepared, converted: Path, subgraph: str,
) -> None:
    result = runner.trial("mxnet", digits, converted, batches=(1, 8), settings={"subgraph": subgraph})
    assert [cell["status"] for cell in result["cells"]] == ["ok", "ok"], result["cells"]
    assert max(cell["fidelity"]["rel_l2"] for cell in result["cells"]) < 1e-4
    assert result["evidence"]["executed_on"] == ["oneDNN"]
    fused = result["evidence"]["detail"]["fused"]
    assert fused == ({"_sg_mkldnn_conv": 2, "_sg_mkldnn_fully_connected": 2} if subgraph == "MKLDNN" else {})


@pytest.mark.parametrize("threads", [1, 2])
def test_openmp_has_the_threads_that_were_asked_for(runner: Runner, digits: Prepared, converted: Path, threads: int) -> None:
    result = runner.trial("mxnet", digits, converted, batches=(1,), threads=threads)
    assert result["evidence"]["detail"]["threads"] == threads


def test_operators_that_the_importer_lacks_are_named_all_at_once(runner: Runner) -> None:
    path, result = runner.convert("mxnet", runner.export("minilm"))
    assert path is None
    assert result["failure"]["kind"] == "unsupported"
    assert all(name in result["failure"]["message"] for name in ("Erf", "Gather", "LayerNormalization"))


def test_a_model_without_weights_loads(runner: Runner, tmp_path: Path) -> None:
    is_right(outcome(weightless, "mxnet", runner, tmp_path, converts=True))


def test_slopes_of_channels_are_not_taken_for_those_of_another_axis(runner: Runner, tmp_path: Path) -> None:
    is_right(outcome(slopes, "mxnet", runner, tmp_path, converts=True))
