"""DeepSparse: an engine per batch, the cores it says it has, and models whose batch is fixed."""

from __future__ import annotations

import pytest

from tests.adapters.jobs import Prepared, Runner

pytestmark = [pytest.mark.slow, pytest.mark.heavy]


@pytest.fixture(scope="module")
def digits(runner: Runner) -> Prepared:
    return runner.export("digits")


@pytest.mark.parametrize(("threads", "scheduler"), [(1, "single_stream"), (2, "elastic")])
def test_every_batch_agrees_and_the_engine_has_the_cores_and_scheduler_asked_for(
    runner: Runner, digits: Prepared, threads: int, scheduler: str,
) -> None:
    result = runner.trial("deepsparse", digits, digits.folder / "model.onnx", batches=(1, 8), threads=threads,
                          settings={"scheduler": scheduler})
    assert [cell["status"] for cell in result["cells"]] == ["ok", "ok"], result["failure"]
    assert max(cell["fidelity"]["rel_l2"] for cell in result["cells"]) < 1e-4
    detail = result["evidence"]["detail"]
    assert (detail["cores"], detail["scheduler"], detail["engines"]) == (threads, scheduler, 2)
    assert detail["fraction_of_supported_ops"] == 1.0
    assert result["evidence"]["executed_on"] == ["DeepSparse"]


def test_a_scheduler_that_it_has_not_is_refused(runner: Runner, digits: Prepared) -> None:
    result = runner.trial("deepsparse", digits, digits.folder / "model.onnx", batches=(1,), settings={"scheduler": "magic"})
    assert result["failure"]["kind"] == "unsupported"
    assert "single_stream" in result["failure"]["message"]
