"""Scenarios of several processes or models, by the whole program with a real backend."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import pytest

from tests.endtoend.program import Program, write_mlp

Make = Callable[[str, Sequence[str]], Program]
pytestmark = [
    pytest.mark.slow, pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two instances need two CPUs"),
]
ISOLATIONS = ["venv", pytest.param("docker", marks=pytest.mark.engine)]


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_layouts_of_the_same_cores_are_measured_and_reported(program: Make, isolation: str) -> None:
    it = program(isolation, ["onnxruntime"])
    text = (it.folder / "matrix.yaml").read_text()
    scenarios = "scenarios: [{scenario: multi_instance, instances: [1, 2]}]\nlimits: {cpus: [%s]}\n"
    cpus = ", ".join(map(str, sorted(os.sched_getaffinity(0))[:2]))
    (it.folder / "matrix.yaml").write_text(text.replace("threads: [1]", "threads: [2]") + scenarios % cpus)
    done = it.run()
    assert it.measured("onnxruntime"), done.stderr
    one, two = sorted(it.matrix()["cells"], key=lambda cell: cell["instances"])
    assert ((one["instances"], one["threads"]), (two["instances"], two["threads"])) == ((1, 2), (2, 1))
    details = two["metrics"]["details"]
    assert details["instance.1.throughput_ips"] > 0
    assert details["instance.2.throughput_ips"] > 0
    assert "instance.2.throughput_ips" not in one["metrics"]["details"]
    assert two["fidelity"]["verdict"] == "within tolerance"
    page = (it.folder / "out" / "report.html").read_text()
    assert "multi instance · batch 1 · 2 × 1 threads" in page
    assert "Instance 2: throughput" in page
    again = it.run()
    assert "nothing to do" in again.stderr


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_an_ensemble_is_measured_against_its_members_alone(program: Make, isolation: str) -> None:
    it = program(isolation, ["onnxruntime"])
    write_mlp(it.folder / "again.onnx")
    text = (it.folder / "matrix.yaml").read_text().replace(
        "models: [{name: mlp, path: mlp.onnx}]", "models: [{name: mlp, path: mlp.onnx}, {name: again, path: again.onnx}]"
    )
    (it.folder / "matrix.yaml").write_text(text + "scenarios: [{scenario: ensemble, members: [mlp, again]}]\n")
    done = it.run()
    assert it.measured("onnxruntime"), done.stderr
    cells = it.matrix()["cells"]
    assert {(cell["model"], cell["options"]["layout"]) for cell in cells} == {
        ("mlp+again", "one_process"), ("mlp+again", "processes")}
    for cell in cells:
        details = cell["metrics"]["details"]
        assert details["gain"] > 0
        assert details["member.again.alone_ips"] > details["expected_ips"] > 0
        assert cell["fidelity"]["verdict"] == "within tolerance"
    page = (it.folder / "out" / "report.html").read_text()
    assert "Together ÷ one after the other" in page
    assert "nothing to do" in it.run().stderr
