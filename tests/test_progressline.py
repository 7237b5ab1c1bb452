"""The line after a trial says the figure that the matrix will compare, and how far the run is."""

from __future__ import annotations

import pytest

from orchestrator.classify import Verdict
from orchestrator.merge.samples import encode_samples
from orchestrator.model import Cell, Scenario, Status
from orchestrator.progressline import Pace, trial_line


def a_cell(batch: int = 1) -> Cell:
    return Cell(
        label="ort", backend="onnxruntime", settings={}, backend_version=None, model="spam", host="local", device="cpu",
        precision="fp32", batch=batch, threads=1, instances=1, scenario=Scenario.OFFLINE,
    )


@pytest.mark.parametrize(("nanoseconds", "figure"), [(4_800, "4.8 µs"), (4_800_000, "4.8 ms"), (3_730_000_000, "3.73 s")])
def test_the_figure_is_the_median_in_a_readable_unit(nanoseconds: int, figure: str) -> None:
    cell = a_cell()
    samples = encode_samples([nanoseconds] * 9 + [nanoseconds * 1000])
    line = trial_line("round 1", [cell], {cell.id: Verdict(status=Status.OK, reason=None, phase=None)},
                      {cell.id: {"samples": samples}}, None)
    assert line == f"round 1: ort × spam: offline b1 {figure}"


def test_a_reason_that_cells_share_is_said_once() -> None:
    cells = [a_cell(batch) for batch in (1, 2)]
    verdict = Verdict(status=Status.CRASHED, reason="it ended with SIGSEGV", phase="load")
    line = trial_line("round 2", cells, {cell.id: verdict for cell in cells}, {}, "disturbed")
    assert line == "round 2: ort × spam: offline b1 crashed (it ended with SIGSEGV), offline b2 too — not counted: disturbed"


def test_the_time_left_follows_from_the_trials_done() -> None:
    assert Pace(due=80).text() == "0/80"
    assert Pace(due=80, done=20, spent_s=60).text() == "20/80, about 3 min left"
    assert Pace(due=80, done=79, spent_s=79).text() == "79/80, about 1 s left"
    assert Pace(due=80, done=80, spent_s=80).text() == "80/80"
