"""A device that this machine has not, and a base image that cannot be had: the cells say so, and nothing else suffers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from orchestrator.gpus import read_gpus
from tests.endtoend.program import Program

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("isolation", ["venv", pytest.param("docker", marks=pytest.mark.engine)])
def test_what_only_an_absent_device_needs_is_not_prepared(
        program: Callable[[str, Sequence[str]], Program], isolation: str) -> None:
    if read_gpus()[0]:
        pytest.skip("this machine has a GPU")
    it = program(isolation, ["slower", "absent"])
    done = it.run("--set", "devices=cpu,cuda")
    found = {(cell["label"], cell["device"]): cell for cell in it.matrix()["cells"]}
    assert {where: cell["status"] for where, cell in found.items() if where != ("slower", "cpu")} == {
        ("slower", "cuda"): "not_run", ("absent", "cuda"): "not_run", ("absent", "cpu"): "unsupported"}, done.stderr
    assert found["slower", "cpu"]["status"] in ("ok", "unstable"), done.stderr
    for label in ("slower", "absent"):
        assert "no GPU `cuda` was found on this machine" in found[label, "cuda"]["reason"]
    assert "infermatrix-no-such-package" not in done.stderr  # pip was not asked for it
    assert {image["name"] for image in it.matrix()["images"]} == {"slower"}


def test_a_matrix_for_an_absent_device_alone_prepares_nothing_at_all(
        program: Callable[[str, Sequence[str]], Program]) -> None:
    if read_gpus()[0]:
        pytest.skip("this machine has a GPU")
    it = program("venv", ["absent"])
    done = it.run("--set", "devices=cuda")
    assert it.statuses() == {"absent": {"not_run"}}, done.stderr
    assert it.matrix()["images"] == []
    assert "Traceback" not in done.stderr


@pytest.mark.engine
def test_a_base_with_cuda_that_cannot_be_had_costs_its_own_row_only(
        program: Callable[[str, Sequence[str]], Program]) -> None:
    it = program("docker", ["slower", "oncuda"])
    done = it.run("--base", "cuda=127.0.0.1:9/cuda@sha256:" + "0" * 64)  # nothing listens there
    assert it.statuses()["oncuda"] == {"image_unavailable"}, done.stderr
    assert it.statuses()["slower"] <= {"ok", "unstable"}, done.stderr
    (reason,) = {cell["reason"] for cell in it.matrix()["cells"] if cell["label"] == "oncuda"}
    assert "127.0.0.1:9/cuda@sha256:" in reason
    assert "Does its registry answer the engine?" in reason
