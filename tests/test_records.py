from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.config.profiles import QUICK
from orchestrator.errors import ResultError
from orchestrator.model import Cell, Scenario, Status
from orchestrator.records import SCHEMA, CellProgress, RecordStore, read_json, record_key, write_atomically

THREE_ATTEMPTS, ONE_ATTEMPT = replace(QUICK, max_retries=2), replace(QUICK, max_retries=0)
ENOUGH_OF_FOUR = replace(QUICK, trials=4, enough=2, max_retries=1)


def cell(**more: Any) -> Cell:
    base: dict[str, Any] = {
        "label": "ort", "backend": "ort", "settings": {}, "backend_version": None, "model": "spam", "host": "local",
        "device": "cpu", "precision": "fp32", "batch": 1, "threads": 2, "instances": 1, "scenario": Scenario.SINGLE_STREAM,
    }
    return Cell(**{**base, **more})


def record(
    of: Cell, *, index: int = 0, attempt: int = 0, status: str = "ok", valid: bool = True, anchor: bool = False
) -> dict[str, Any]:
    return {
        "schema": SCHEMA, "key": record_key(of, {}), "cell": {**of.canonical(), "id": of.id}, "status": status, "valid": valid,
        "trial": {"index": index, "attempt": attempt, "anchor": anchor},
    }


def test_what_was_written_is_found_again_by_name_alone(tmp_path: Path) -> None:
    store, one = RecordStore(tmp_path), cell()
    for index in (0, 2):
        store.write(record(one, index=index))
    progress = RecordStore(tmp_path).progress()[(one.id, record_key(one, {}))]
    assert progress.done == {0, 2}
    assert progress.wants(1, THREE_ATTEMPTS)
    assert not progress.wants(0, THREE_ATTEMPTS)


def test_a_model_with_dots_and_a_label_like_ours_is_told_apart(tmp_path: Path) -> None:
    store, odd = RecordStore(tmp_path), cell(model="m.t1.a2.ok.json", label="x.t0")
    store.write(record(odd, index=4))
    assert RecordStore(tmp_path).progress()[(odd.id, record_key(odd, {}))].done == {4}


def test_anchors_and_invalid_trials_do_not_count_as_done(tmp_path: Path) -> None:
    store, one = RecordStore(tmp_path), cell()
    store.write(record(one, index=0, valid=False))
    store.write(record(one, index=1, anchor=True))
    progress = RecordStore(tmp_path).progress()[(one.id, record_key(one, {}))]
    assert progress.done == set()
    assert progress.wants(0, THREE_ATTEMPTS)
    assert not progress.wants(0, ONE_ATTEMPT)


@pytest.mark.parametrize("status", [status for status in Status if status.is_infrastructure])
def test_what_the_host_failed_at_is_missing(tmp_path: Path, status: Status) -> None:
    store, one = RecordStore(tmp_path), cell()
    store.write(record(one, status=status.value))
    assert RecordStore(tmp_path).progress()[(one.id, record_key(one, {}))].wants(0, THREE_ATTEMPTS)
    assert store.forget_infrastructure() == 1
    assert RecordStore(tmp_path).progress() == {}


def test_a_failure_that_will_repeat_settles_a_cell_at_once_and_a_crash_at_the_second() -> None:
    unsupported, crashed = CellProgress(), CellProgress()
    unsupported.note(0, 0, Status.UNSUPPORTED, valid=True)
    assert unsupported.settled
    crashed.note(0, 0, Status.CRASHED, valid=True)
    assert not crashed.settled
    crashed.note(1, 0, Status.CRASHED, valid=True)
    assert crashed.settled


def after(*trials: tuple[int, bool]) -> CellProgress:
    """What is known once these trials (number, whether it counts) ended well, each at its next attempt."""
    progress = CellProgress()
    for trial, valid in trials:
        progress.note(trial, progress.attempts.get(trial, 0), Status.OK, valid=valid)
    return progress


def test_a_disturbed_trial_is_repeated_where_the_profile_wants_all() -> None:
    assert after((0, False), (1, True), (2, True)).wants(0, replace(ENOUGH_OF_FOUR, enough=0))


@pytest.mark.parametrize(("known", "repeated"), [
    ([(0, False)], False),  # three are to come
    ([(0, False), (1, False)], False),  # two are
    ([(0, False), (1, False), (2, False)], True),  # one is, and two are wanted
    ([(0, False), (1, True), (2, True), (3, False)], False),  # two count
    ([(0, False), (1, True), (2, False), (3, False)], True),  # one does, and nothing is to come
    ([(0, False), (0, False), (1, True), (2, False), (3, False)], False),  # its attempts are used up
])
def test_a_disturbed_trial_is_not_repeated_while_enough_others_do_or_may(known: list[tuple[int, bool]], repeated: bool) -> None:
    assert after(*known).wants(0, ENOUGH_OF_FOUR) is repeated


def test_a_trial_that_failed_is_none_of_those_that_are_enough() -> None:
    progress = after((1, True), (2, False))
    progress.note(0, 0, Status.TIMEOUT, valid=True)
    assert progress.wants(2, replace(ENOUGH_OF_FOUR, trials=3))


def test_a_trial_that_the_host_failed_is_repeated_however_many_count() -> None:
    progress = after((1, True), (2, True), (3, True))
    progress.note(0, 0, Status.HOST_LOST, valid=True)
    assert progress.wants(0, ENOUGH_OF_FOUR)
    progress.note(0, 1, Status.HOST_LOST, valid=True)
    assert not progress.wants(0, ENOUGH_OF_FOUR)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=8), st.integers(1, 4))
def test_what_enough_leaves_undone_is_disturbed_and_there_are_enough_or_no_attempts_left(
    known: list[tuple[int, bool]], enough: int
) -> None:
    profile, progress = replace(ENOUGH_OF_FOUR, enough=enough), after(*known)
    missing = {trial for trial in range(4) if trial not in progress.done and progress.attempts.get(trial, 0) < 2}
    wanted = {trial for trial in missing if progress.wants(trial, profile)}
    assert missing - wanted <= progress.disturbed
    assert wanted == missing or len(progress.done) + len(missing - progress.disturbed) >= enough


def test_the_key_changes_with_the_conditions_and_with_nothing_else() -> None:
    assert record_key(cell(), {"env": "a"}) == record_key(cell(), {"env": "a"})
    assert record_key(cell(), {"env": "a"}) != record_key(cell(), {"env": "b"})
    assert record_key(cell(), {}) != record_key(cell(batch=2), {})


@given(st.binary(max_size=200))
def test_no_damaged_file_passes_for_a_record(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.json"
        path.write_bytes(content)
        with pytest.raises(ResultError):
            read_json(path, schema=SCHEMA)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "matrix.json"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_another_schema_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"schema": "infermatrix.record/9"}))
    with pytest.raises(ResultError, match="record/9"):
        list(RecordStore(tmp_path).read_all())
