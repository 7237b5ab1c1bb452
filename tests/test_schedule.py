"""The loop over rounds, with trials whose ends are scripted: which are repeated, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from orchestrator.config.profiles import QUICK
from orchestrator.isolation.base import Stop
from orchestrator.model import Cell, Profile, Scenario, Status, TrialSpec
from orchestrator.schedule import Schedule, Slot

CELL = Cell(label="a", backend="a", settings={}, backend_version=None, model="m", host="local", device="cpu",
            precision="fp32", batch=1, threads=1, instances=1, scenario=Scenario.SINGLE_STREAM)
SPEC = TrialSpec(id="s", cells=(CELL,))


@dataclass(kw_only=True)
class Scripted(Schedule):
    """Every attempt ends as the script says: "ok", "disturbed", or a status."""

    script: list[str] = field(default_factory=list)
    order: list[int] = field(default_factory=list)

    def _attempt(self, slot: Slot) -> bool:
        if not self.pending(slot):
            return True
        end = self.script.pop(0)
        status = Status(end) if end not in ("ok", "disturbed") else Status.OK
        self.order.append(slot.index)
        progress = self._progress(CELL)
        progress.note(slot.index, progress.attempts.get(slot.index, 0), status, valid=end != "disturbed")
        return end != "disturbed" and not status.is_infrastructure


def trials(script: Sequence[str], profile: Profile) -> tuple[list[int], int]:
    """Numbers of the trials in the order that they were run in, and how many were repeats."""
    bench: Any = SimpleNamespace(profile=profile, key=lambda _: "k", stop=Stop(), resolve=lambda _: None)
    schedule = Scripted(bench=bench, script=list(script))
    schedule.run([[Slot(spec=SPEC, index=number, round=number, position=0)] for number in range(profile.trials)])
    assert schedule.script == []
    return schedule.order, schedule.tally.repeated


THREE = replace(QUICK, trials=3, max_retries=1)
TWO_OF_THREE = replace(THREE, enough=2)


def test_a_disturbed_trial_is_repeated_within_its_round() -> None:
    assert trials(["disturbed", "ok", "ok", "ok"], THREE) == ([0, 0, 1, 2], 1)


def test_where_two_are_enough_one_may_be_disturbed() -> None:
    assert trials(["disturbed", "ok", "ok"], TWO_OF_THREE) == ([0, 1, 2], 0)
    assert trials(["ok", "ok", "disturbed"], TWO_OF_THREE) == ([0, 1, 2], 0)


def test_what_others_did_not_make_up_for_is_repeated_after_all_rounds() -> None:
    script = ["disturbed", "disturbed", "ok", "disturbed", "disturbed", "ok"]
    assert trials(script, TWO_OF_THREE) == ([0, 1, 1, 2, 2, 0], 3)


def test_attempts_are_bounded_however_few_count() -> None:
    assert trials(["disturbed"] * 6, TWO_OF_THREE) == ([0, 1, 1, 2, 2, 0], 3)


def test_what_the_host_failed_at_is_repeated_at_once() -> None:
    assert trials(["host_lost", "ok", "ok", "ok"], TWO_OF_THREE) == ([0, 0, 1, 2], 1)


def test_once_stopped_nothing_is_prepared_or_run() -> None:
    def asked(_: TrialSpec) -> None:
        raise AssertionError("it would convert a model now")

    bench: Any = SimpleNamespace(profile=THREE, key=lambda _: "k", stop=Stop(), resolve=asked)
    bench.stop.request("Ctrl-C")
    schedule = Scripted(bench=bench)
    schedule.run([[Slot(spec=SPEC, index=0, round=0, position=0)]])
    assert schedule.order == []
