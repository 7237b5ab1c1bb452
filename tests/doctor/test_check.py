from __future__ import annotations

import threading

from orchestrator.doctor.check import Check, Verdict, guarded

FINE = Check(name="x", verdict=Verdict.GOOD, found="fine")


def test_a_probe_that_answers_is_passed_on() -> None:
    assert guarded("x", lambda: [FINE, FINE], deadline_s=5) == (FINE, FINE)


def test_a_probe_that_fails_becomes_a_finding() -> None:
    def broken() -> tuple[Check, ...]:
        raise ValueError("odd file")

    (check,) = guarded("x", broken, deadline_s=5)
    assert (check.verdict, check.found) == (Verdict.WARN, "could not be checked: ValueError: odd file")


def test_a_probe_that_hangs_is_left_behind() -> None:
    release = threading.Event()

    def hanging() -> tuple[Check, ...]:
        release.wait(60)
        return (FINE,)

    (check,) = guarded("x", hanging, deadline_s=0.05)
    release.set()
    assert (check.verdict, check.found) == (Verdict.WARN, "no answer within 0.05 s")
