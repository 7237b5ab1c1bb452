"""`compiled: kept` by the whole program with a real backend, with and without an engine."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence

import docker
import onnx
import pytest

from orchestrator.isolation.keeping import KEPT_LABEL, remove_kept
from tests.endtoend.program import Program

Make = Callable[[str, Sequence[str]], Program]
pytestmark = pytest.mark.slow
ROWS = ["onnxruntime", "{label: ahead, backend: onnxruntime, compiled: kept}"]


def check(it: Program) -> None:
    """One compilation before the first trial; every trial takes it, so times of loading are null; it is there the next time."""
    model = onnx.load(it.folder / "mlp.onnx")
    model.doc_string = str(uuid.uuid4())  # a model that nobody can have compiled before
    onnx.save(model, it.folder / "mlp.onnx")
    done = it.run()
    assert it.measured("onnxruntime", "ahead"), done.stderr
    assert done.stderr.count("compiled ahead × mlp in") == 2, "the row's two batches, and the anchor's one"
    for name in it.records():
        record = json.loads((it.folder / "out" / "records" / name).read_text())
        cache = record["result"]["evidence"].get("cache") or {}
        assert cache.get("hit") == (True if record["cell"]["label"] == "ahead" else None)
        assert ("compiled" in record) == (record["cell"]["label"] == "ahead")
    for cell in it.matrix()["cells"]:
        assert (cell["metrics"]["load_ms"] is None) == (cell["label"] == "ahead")
    page = (it.folder / "out" / "report.html").read_text()
    assert "compiled kept" in page
    assert "nothing to do" in it.run().stderr
    again = it.run("--out", "again")
    assert "ahead × mlp: single_stream" in again.stderr
    assert "compiling" not in again.stderr


def test_what_was_compiled_serves_every_trial_and_the_next_run(program: Make) -> None:
    check(program("venv", ROWS))


@pytest.mark.engine
def test_containers_share_it_through_a_volume_that_clean_removes(program: Make, engine: docker.DockerClient) -> None:
    def volumes() -> set[str]:
        return {volume.name for volume in engine.volumes.list(filters={"label": KEPT_LABEL})}

    before = volumes()
    check(program("docker", ROWS))
    made = volumes() - before
    assert len(made) == 2
    assert made <= set(remove_kept(engine))
