"""The runner under the oldest and the newest Python that it promises to work on."""

from __future__ import annotations

from typing import Any

from orchestrator.protocol import read_result


def test_a_whole_trial_works(other_trial: Any) -> None:
    cells = [other_trial.cell("a"), other_trial.cell("b", scenario="offline", batch=40)]
    result = other_trial.run(cells=cells, probe={"enabled": True}, threads=2, fault="reuses")
    read_result(other_trial.folder / "out" / "result.json", trial="t-1", task="trial", cells=["a", "b"])
    assert [cell["status"] for cell in result["cells"]] == ["ok", "ok"]
    assert all(cell["fidelity"]["rel_l2"] < 1e-6 for cell in result["cells"])
    assert set(result["probes"]["end"]) == set(result["probes"]["start"]) | {"settle_ms"}


def test_failures_are_told_apart(other_trial: Any) -> None:
    assert other_trial.run(fault="load_unsupported")["failure"]["kind"] == "unsupported"
    assert other_trial.run(fault="memory", cells=[other_trial.cell(batch=8)])["cells"][0]["status"] == "oom"
