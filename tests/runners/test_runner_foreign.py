"""The work of others on the trial's CPUs: counted against a real process that burns, and pieced together from texts."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from importlib import import_module
from typing import Any

import psutil
import pytest

foreign: Any = import_module("foreign")
BURN = "import os, time\nos.sched_setaffinity(0, {%d})\nend = time.process_time() + %g\nwhile time.process_time() < end: pass"


def stat(number: int, parent: int, *ticks: int, name: str = "a (b) c") -> str:
    return f"{number} ({name}) S {parent} " + "0 " * 9 + " ".join(map(str, ticks)) + " 20 0 1 0"


def burn(cpu: int, seconds: float) -> None:
    """In a process that is nobody's descendant here: its parent ends at once."""
    ended = subprocess.run(
        [sys.executable, "-c", "import subprocess, sys\nprint(subprocess.Popen([sys.executable, '-c', sys.argv[1]]).pid)",
         BURN % (cpu, seconds)], capture_output=True, text=True, check=True)
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(ended.stdout)).wait(60)


def test_a_process_of_others_is_counted_and_ones_own_child_is_not() -> None:
    cpu = min(os.sched_getaffinity(0))
    seen = foreign.Foreign([cpu])
    subprocess.run([sys.executable, "-c", BURN % (cpu, 0.5)], check=True)
    own = seen.ticks()
    burn(cpu, 1.0)
    assert seen.ticks() - own >= 70


def test_only_the_trial_s_cpus_count_and_neither_idle_nor_stolen_time() -> None:
    text = "cpu 9 9 9 9 9 9 9 9\ncpu0 1 2 3 400 50 6 7 80\ncpu1 100 0 0 0 0 0 0 0\ncpu10 5 0 0 0 0 0 0 0\nintr 5\n"
    assert foreign.busy_ticks(text, frozenset(["cpu0"])) == 1 + 2 + 3 + 6 + 7
    assert foreign.busy_ticks(text, frozenset(["cpu0", "cpu10"])) == 19 + 5
    with pytest.raises(ValueError, match="CPU"):
        foreign.busy_ticks(text, frozenset(["cpu7"]))


def test_a_family_is_everyone_below_with_those_that_were_waited_for() -> None:
    texts = [stat(10, 1, 5, 1, 100, 2), stat(11, 10, 7, 0, 0, 0), stat(12, 11, 1, 1, 1, 1), stat(13, 1, 999, 0, 0, 0)]
    known = {10 + number: foreign.parent_and_ticks(text) for number, text in enumerate(texts)}
    assert foreign.family_ticks(known, 10) == 108 + 7 + 4
    assert foreign.family_ticks(known, 99) is None
