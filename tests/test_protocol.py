from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.protocol import MAX_RESULT_BYTES, BadResultError, read_result

FIXTURES = Path(__file__).parent / "fixtures" / "protocol"
GOOD = {"protocol": "infermatrix.result/1", "trial": "t", "task": "trial", "complete": True, "cells": []}


def read(tmp_path: Path, value: Any, cells: tuple[str, ...] = ()) -> dict[str, Any]:
    path = tmp_path / "result.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return read_result(path, trial="t", task="trial", cells=cells)


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("result*.json")), ids=lambda path: path.stem)
def test_the_runner_s_golden_results_are_believed(path: Path) -> None:
    value = json.loads(path.read_text())
    cells = [cell["id"] for cell in value.get("cells", ())]
    assert read_result(path, trial=value["trial"], task=value["task"], cells=cells) == value


def test_there_are_golden_results() -> None:
    assert list(FIXTURES.glob("result*.json"))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"protocol": "infermatrix.result/2"}, "protocol"),
        ({"trial": "t-other"}, "t-other"),
        ({"task": "convert"}, "convert"),
        ({"complete": "yes"}, "complete"),
        ({"phases": {"load_ms": -1}}, "load_ms"),
        ({"cells": [{"id": "c", "status": "splendid"}]}, "status"),
        ({"cells": [{"id": "unasked", "status": "failed"}]}, "not asked for"),
        ({"cells": [{"id": "c", "status": "failed"}] * 2}, "twice"),
        ({"cells": [{"id": "c", "status": "ok"}]}, "samples"),
        ({"versions": {"x": "9" * 5000}}, "longer"),
        ({"environment": {"n": 2**70}}, "out of range"),
        ({"environment": {"a": [[[[[[[[[[[[[[1]]]]]]]]]]]]]]}}, "deeply"),
    ],
)
def test_what_breaks_the_contract_is_refused_with_the_reason(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    with pytest.raises(BadResultError, match=why):
        read(tmp_path, {**GOOD, **change}, cells=("c",))


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": Infinity}', '{"phases": {"load_ms": 1e999}}', "[" * 50_000, "", "\x00"])
def test_text_that_is_no_honest_json_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadResultError):
        read(tmp_path, text)


def test_a_result_larger_than_allowed_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    with path.open("wb") as sink:
        sink.truncate(MAX_RESULT_BYTES + 1)
    with pytest.raises(BadResultError, match="larger"):
        read_result(path, trial="t", task="trial")


def test_a_link_is_not_a_result(tmp_path: Path) -> None:
    (tmp_path / "real").write_text(json.dumps(GOOD))
    (tmp_path / "result.json").symlink_to(tmp_path / "real")
    with pytest.raises(BadResultError, match="plain"):
        read_result(tmp_path / "result.json", trial="t", task="trial")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4), max_leaves=30,
)


@given(st.dictionaries(st.sampled_from([*GOOD, "phases", "evidence", "failure", "null_reasons"]), JSON))
def test_no_json_makes_the_reader_fail_other_than_by_refusing(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("r") / "result.json"
    path.write_text(json.dumps({**GOOD, **value}))
    with contextlib.suppress(BadResultError):
        assert read_result(path, trial="t", task="trial")["protocol"] == GOOD["protocol"]
