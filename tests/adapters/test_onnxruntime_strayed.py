"""Who executed what, from the events of a profile, and when that is a fallback."""

from __future__ import annotations

from importlib import import_module
from typing import Any

census: Any = import_module("adapters.onnxruntime_census")
adapter: Any = import_module("adapters.onnxruntime_openvino")


def event(operator: str, provider: str) -> dict[str, Any]:
    return {"cat": "Node", "name": "n", "args": {"op_name": operator, "provider": provider}}


def test_operators_are_counted_by_who_executed_them_without_those_that_only_move_numbers() -> None:
    nodes = [event("Conv", "A"), event("Conv", "A"), event("Gemm", "B"), event("Reshape", "B")]
    events = [*nodes, {"cat": "Session", "name": "run"}]
    assert census.providers_of(events) == {"A": {"Conv": 2}, "B": {"Gemm": 1}}


def test_one_operator_elsewhere_is_a_fallback_with_its_name() -> None:
    assert adapter.strayed({adapter.PROVIDER: {"whole": 1}}) is None
    assert adapter.strayed({}) is None
    sentence = adapter.strayed({adapter.PROVIDER: {"whole": 1}, "CPUExecutionProvider": {"LSTM": 2, "TopK": 1}})
    assert sentence == "OpenVINO did not get everything: 2 × LSTM, 1 × TopK ran on CPUExecutionProvider"
