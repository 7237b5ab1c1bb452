"""Putting right what pnnx writes, on its text alone."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

graph: Any = import_module("adapters.ncnn_graph")
base: Any = import_module("adapters.base")

CAST = "Tensor.to cast_0 1 1 in0 1 2=3"
PNNX_CAST = "Tensor.to                cast_0                   1 1 0 1 copy=False dtype={} $input=0"


def text(*lines: str) -> str:
    return "\n".join(["7767517", f"{len(lines)} 9", *lines]) + "\n"


def repaired(lines: list[str], pnnx: str = "", batch_index: int = 0) -> list[str]:
    found: list[str] = graph.repair(graph.Graph.parse(text(*lines)), pnnx, batch_index).text().splitlines()
    return found


def test_a_graph_without_faults_stays_as_it_is() -> None:
    lines = ["Input in0 0 1 in0", "ReLU relu_0 1 1 in0 out0 0=0.1"]
    assert repaired(lines) == ["7767517", "2 2", *lines]


def test_a_cast_to_float_falls_away_and_its_reader_reads_the_input() -> None:
    found = repaired(["Input in0 0 1 in0", CAST, "ReLU relu_0 1 1 1 out0"], PNNX_CAST.format("torch.float"))
    assert found == ["7767517", "2 2", "Input in0 0 1 in0", "ReLU relu_0 1 1 in0 out0"]


def test_a_blob_that_gains_a_second_reader_is_split() -> None:
    lines = ["Input in0 0 1 in0", "Split s 1 2 in0 a b", "Tensor.to cast_0 1 1 a 1", "BinaryOp m 2 1 1 a out0"]
    found = repaired(lines, PNNX_CAST.format("torch.float"))
    assert "Split split_a 1 2 a a_copy0 a_copy1" in found
    assert "BinaryOp m 2 1 a_copy0 a_copy1 out0" in found


def test_a_cast_to_an_integer_is_refused() -> None:
    with pytest.raises(base.Unsupported, match=r"no cast to torch\.long"):
        repaired(["Input in0 0 1 in0", CAST, "ReLU relu_0 1 1 1 out0"], PNNX_CAST.format("torch.long"))


@pytest.mark.parametrize(("dim", "shape", "batch_index", "axis"), [
    (1, "1,6,8", 0, 0), (2, "1,6,8", 0, 1), (-1, "1,6,8", 0, 1), (1, "1,6,8", 233, 1), (0, "8", 0, 0)])
def test_a_reduction_gets_its_single_axis_back(dim: int, shape: str, batch_index: int, axis: int) -> None:
    lines = ["Input in0 0 1 in0", "Reduction sum_0 1 1 in0 out0 0=0 1=0 -23303=0 4=0 5=1"]
    pnnx = f"torch.sum                torch.sum_0              1 1 0 1 dim={dim} keepdim=False $input=0 #0=({shape})f32 #1=(1)f32"
    assert f"Reduction sum_0 1 1 in0 out0 0=0 1=0 -23303=1,{axis} 4=0 5=1" in repaired(lines, pnnx, batch_index)


def test_a_reduction_whose_axis_cannot_be_found_is_refused() -> None:
    with pytest.raises(base.Unsupported, match="lost the axes"):
        repaired(["Input in0 0 1 in0", "Reduction sum_0 1 1 in0 out0 0=0 1=0 -23303=0 4=0 5=1"])


def test_what_pnnx_could_not_translate_is_named() -> None:
    with pytest.raises(base.Unsupported, match=r"operator torch\.gather"):
        repaired(["Input in0 0 1 in0", "torch.gather g 1 1 in0 out0"])


@pytest.mark.parametrize(("reader", "uses"), [
    ("Embed e 1 1 x out0", (True, False)), ("BinaryOp b 1 1 x out0", (False, True)), ("Split s 1 2 x out0 out1", (False, False))])
def test_an_input_is_an_index_or_a_number_by_who_reads_it(reader: str, uses: tuple[bool, bool]) -> None:
    parsed = graph.Graph.parse(text("Input in0 0 1 in0", "Reshape r 1 1 in0 x 0=12", reader))
    assert parsed.uses("in0") == uses


def test_something_else_is_not_taken_for_a_graph() -> None:
    with pytest.raises(base.Unsupported, match="no ncnn graph"):
        graph.Graph.parse("<html>")
