"""tinygrad: one thread whatever it is given, which compiler made its kernels, a cache with a proven hit, what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.adapters.breadth import is_right, outcome, refusal
from tests.adapters.jobs import Prepared, Runner
from tests.adapters.smallnets import convolutional
from tests.adapters.strange import Strange, external, indices, loop, several, unknown

pytestmark = [pytest.mark.slow, pytest.mark.heavy]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return convolutional(tmp_path_factory.mktemp("network"))


def trial(runner: Runner, model: Prepared, *, batches: tuple[int, ...] = (1, 3), **changes: Any) -> dict[str, Any]:
    return runner.trial("tinygrad", model, model.folder / "model.onnx", batches=batches, **changes)


def test_it_answers_for_every_batch_and_says_who_compiled_and_how_many_threads_compute(runner: Runner, network: Prepared) -> None:
    result = trial(runner, network, threads=2)
    is_right(result)
    detail = result["evidence"]["detail"]
    assert (detail["threads"], detail["threads_asked"], detail["threads_started"]) == (1, 2, 0)
    assert "clang" in detail["compiler"]
    assert set(detail["kernel_types"]) == {"float"}
    assert len(detail["kernels"]) == 2
    assert min(detail["kernels"].values()) > 0
    assert result["phases"]["compile_ms"] > 0


def test_winograd_changes_the_kernels_and_not_the_answers(runner: Runner, network: Prepared) -> None:
    without = trial(runner, network, batches=(1,))
    changed = trial(runner, network, batches=(1,), settings={"winograd": True})
    is_right(changed)
    assert changed["evidence"]["detail"]["kernels"] != without["evidence"]["detail"]["kernels"]


def test_a_second_process_captures_nothing_where_the_first_kept_its_graphs(
        runner: Runner, network: Prepared, tmp_path: Path) -> None:
    uses = [trial(runner, network, batches=(1,), keep_cache=True, cache_dir=str(tmp_path))["evidence"] for _ in range(2)]
    assert [use["cache"]["hit"] for use in uses] == [False, True]
    assert uses[0]["detail"]["kernels_compiled"] > 0 == uses[1]["detail"]["kernels_compiled"]


def test_a_kept_graph_is_right_for_inputs_whose_size_occurs_in_it(runner: Runner, tmp_path: Path) -> None:
    digits = runner.export("digits")
    for _ in range(2):
        is_right(trial(runner, digits, batches=(1,), keep_cache=True, cache_dir=str(tmp_path)))


@pytest.mark.parametrize("make", [several, external, indices])
def test_several_outputs_weights_beside_the_file_and_integers_come_through(
        make: Callable[[], Strange], runner: Runner, tmp_path: Path) -> None:
    is_right(outcome(make, "tinygrad", runner, tmp_path, converts=False))


@pytest.mark.parametrize(("make", "word"), [(loop, "Loop"), (unknown, "made.up::Frobnicate")])
def test_what_it_lacks_is_refused_by_name(make: Callable[[], Strange], word: str, runner: Runner, tmp_path: Path) -> None:
    assert word in refusal(outcome(make, "tinygrad", runner, tmp_path, converts=False))


def _repeated() -> Strange:
    """An input that says how often another is repeated."""
    x, times = (helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in (
        ("x", TensorProto.FLOAT, [2, 4]), ("times", TensorProto.INT64, [2])))
    nodes = [helper.make_node("Add", ["times", "more"], ["repeats"]), helper.make_node("Tile", ["x", "repeats"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x, times], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None])],
                              [numpy_helper.from_array(np.array([1, 0]), "more")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    samples: dict[str, Any] = {"x": np.ones((8, 2, 4), np.float32), "times": np.ones((8, 2), np.int64)}
    return Strange(name="repeated", model=model, inputs=samples, batchable=False)


def test_a_shape_out_of_an_input_s_values_is_refused_and_not_fixed(runner: Runner, tmp_path: Path) -> None:
    assert "Tile" in refusal(outcome(_repeated, "tinygrad", runner, tmp_path, converts=False))
