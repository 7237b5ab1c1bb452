"""The server scenario by the whole program with a real backend: what reaches the matrix and its reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.endtoend.program import Program

Make = Callable[[str, Sequence[str]], Program]
pytestmark = pytest.mark.slow
ISOLATIONS = ["venv", pytest.param("docker", marks=pytest.mark.engine)]


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_rate_within_reach_and_a_target_out_of_it(program: Make, isolation: str) -> None:
    it = program(isolation, ["onnxruntime"])
    text = (it.folder / "matrix.yaml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("scenarios")]
    scenario = "scenarios: [{scenario: server, batch: 4, target_ms: [0.0001, 100], percentile: 90, max_delay_ms: 1}]"
    (it.folder / "matrix.yaml").write_text("\n".join([scenario, *lines]) + "\n")
    done = it.run()
    impossible, possible = sorted(it.matrix()["cells"], key=lambda cell: cell["options"]["target_ms"])
    assert impossible["status"] == "target_missed", done.stderr
    assert "no rate can meet it" in impossible["reason"]
    assert possible["status"] in ("ok", "unstable"), done.stderr
    if possible["metrics"]["throughput_ips"] is None:
        pytest.skip("this machine was too disturbed for one valid trial")
    assert possible["metrics"]["details"]["rate.scheduled_qps"] == pytest.approx(possible["metrics"]["throughput_ips"])
    assert possible["fidelity"]["verdict"] == "within tolerance"
    page = (it.folder / "out" / "report.html").read_text()
    assert "target ms 100" in page
    assert "no rate can meet it" in page
