"""The lock of a machine: one run at a time, and those who wait are told for whom."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

from orchestrator.isolation.base import Stop
from orchestrator.isolation.holder import Holder
from orchestrator.isolation.hostlock import StoppedWaitingError, file_lock
from orchestrator.isolation.owner import Owner

HOLD = """
import sys
from pathlib import Path
from orchestrator.isolation.base import Stop
from orchestrator.isolation.hostlock import file_lock
with file_lock(print, Stop(), Path("/runs/mine"), Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_who_waits_is_told_process_run_directory_and_since_when(tmp_path: Path) -> None:
    path, said, stop = tmp_path / "lock", list[str](), Stop()

    def say(text: str) -> None:
        said.append(text)
        stop.event.set()

    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoppedWaitingError), file_lock(say, stop, tmp_path, path):
            pass
        holder.communicate("")
    assert f"process {holder.pid}, since {datetime.now(timezone.utc):%Y}" in said[0]
    assert "for /runs/mine" in said[0]
    assert str(path) in said[0]
    assert path.read_text() == ""  # nobody is named who is gone


def test_a_lock_is_free_again_and_names_its_next_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    for name in ("first", "b"):
        with file_lock(print, Stop(), tmp_path / name, path):
            holder = Holder.parse(path.read_text())
            assert holder is not None
            assert (holder.owner.pid, holder.folder) == (os.getpid(), str(tmp_path / name))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"owner": "x"}', '{"owner": 3, "folder": "", "since": "2026-01-01"}',
                                  '{"owner": "h:1:2", "folder": "", "since": "2026-01-01T00:00:00"}', "[" * 4096])
def test_a_foreign_text_in_the_lock_names_nobody(text: str) -> None:
    assert Holder.parse(text) is None


def test_what_is_told_of_a_holder_stays_on_one_line() -> None:
    holder = Holder(owner=Owner(host="else\x1b[2J/boot", pid=7, start_ticks=1), folder="/a\nb", since=datetime.now(timezone.utc))
    parsed = Holder.parse(holder.to_text())
    assert parsed is not None
    assert parsed.describe().isprintable()
    assert " on else" in parsed.describe()
