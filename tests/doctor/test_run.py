from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.doctor.check import Check, Verdict
from orchestrator.doctor.run import DoctorOptions, exit_code, run_doctor, to_json, to_text

GOOD = Check(name="cpus", verdict=Verdict.GOOD, found="two")
WARN = Check(name="load", verdict=Verdict.WARN, found="high " * 40, do="stop other work")
BAD = Check(name="disk", verdict=Verdict.BAD, found="full", do="free space")


def test_only_bad_findings_make_the_exit_code() -> None:
    assert exit_code([GOOD, WARN]) == 0
    assert exit_code([GOOD, WARN, BAD]) == 1
    assert exit_code([]) == 0


def test_text_has_a_line_a_check_and_what_to_do_below_it() -> None:
    lines = to_text([GOOD, WARN, BAD], width=80).splitlines()
    assert lines[0] == "good  cpus  two"
    assert "            → stop other work" in lines
    assert lines[-1].strip() == "→ free space"
    assert max(map(len, lines)) <= 80


def test_json_holds_the_same() -> None:
    plain = json.loads(json.dumps(to_json([GOOD, BAD])))
    assert plain["exit_code"] == 1
    assert plain["checks"][1] == {"name": "disk", "verdict": "bad", "found": "full", "do": "free space"}


def test_without_an_engine_all_other_checks_still_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    checks = run_doctor(DoctorOptions(noise_s=0, images=tmp_path))
    names = [check.name for check in checks]
    assert names[0] == "engine"
    assert {"cgroups", "cpus", "governor", "turbo", "load", "steal", "memory", "kernel", "gpus", "disk", "pythons"} <= set(names)
    assert not {"builder", "base image", "noise"} & set(names)
    assert any(str(cache) in check.found for check in checks if check.name == "disk")
    assert all(check.do for check in checks if check.verdict in (Verdict.WARN, Verdict.BAD))
    assert not [check.found for check in checks if "could not be checked" in check.found]


@pytest.mark.engine
@pytest.mark.usefixtures("engine")
def test_with_an_engine_builder_and_base_are_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    checks = run_doctor(DoctorOptions(noise_s=0))
    assert {"builder", "base image"} <= {check.name for check in checks}
    assert not [check.found for check in checks if "could not be checked" in check.found]
