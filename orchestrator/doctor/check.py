"""One line of the doctor, and the guard that keeps a broken probe from ending the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum


class Verdict(str, Enum):
    """How much a finding matters; only `bad` makes the doctor exit with 1."""

    GOOD = "good"
    NOTE = "note"  # worth knowing, nothing to do or a matter of taste
    WARN = "warn"  # numbers get worse or a feature is missing
    BAD = "bad"  # no run can succeed


@dataclass(frozen=True, kw_only=True)
class Check:
    """What was looked at, what was found and what to do about it ("" where nothing is to be done)."""

    name: str
    verdict: Verdict
    found: str
    do: str = ""


Probe = Callable[[], Sequence[Check]]


def guarded(name: str, probe: Probe, *, deadline_s: float) -> tuple[Check, ...]:
    """The probe's checks; a probe that fails or misses its deadline gives one `warn` that says so.

    The probe runs in a daemon thread: a call that hangs in the kernel or in a driver cannot be ended from
    outside, only left behind.
    """
    answers: list[Sequence[Check]] = []
    failures: list[str] = []

    def ask() -> None:
        try:
            answers.append(probe())
        except Exception as error:  # noqa: BLE001  # any failure of one probe is a finding, not the doctor's end
            failures.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=ask, name=f"doctor-{name}", daemon=True)
    thread.start()
    thread.join(deadline_s)
    if answers:
        return tuple(answers[0])
    found = f"could not be checked: {failures[0]}" if failures else f"no answer within {deadline_s:g} s"
    return (Check(name=name, verdict=Verdict.WARN, found=found, do="the other lines stand; report this one as a bug"),)
