"""Built-in models: exported once, cached by what they depend on, and nothing the export says is believed unchecked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from orchestrator.errors import ModelError
from orchestrator.model import Ending, Outcome
from orchestrator.models.catalogue import ZOO
from orchestrator.models.npzfile import read_npz, write_npz
from orchestrator.models.zoo import is_cached, prepare_zoo

Edit = Callable[[Path, dict[str, Any]], None]
WEIGHT = np.random.default_rng(5).standard_normal((4, 3)).astype(np.float32)


def outcome(**changes: Any) -> Outcome:
    plain: dict[str, Any] = {
        "ending": Ending.EXITED, "exit_code": 0, "oom_killed": False, "log_tail": "", "wall_s": 1.0,
        "started": "2026-01-01T00:00:00Z", "container_start_ms": None, "result_file": None, "events": ()}
    return Outcome(**{**plain, **changes})


class Exporter:
    """Writes what a well-behaved export of a small model writes, then `edit` spoils it."""

    def __init__(self, edit: Edit | None = None, ending: Outcome | None = None) -> None:
        self.jobs: list[Mapping[str, Any]] = []
        self._edit = edit
        self._ending = ending or outcome()

    def __call__(self, job: Mapping[str, Any], out_dir: Path) -> Outcome:
        self.jobs.append(job)
        artifact = out_dir / "artifact"
        artifact.mkdir()
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
            [numpy_helper.from_array(WEIGHT, "w")])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        (artifact / "model.onnx").write_bytes(model.SerializeToString())
        (artifact / "model.pt2").write_bytes(b"program")
        rows = np.random.default_rng(job["seed"]).standard_normal((16, 4)).astype(np.float32)
        write_npz(artifact / "inputs.npz", {"x": rows})
        write_npz(artifact / "reference.npz", {"y": rows.astype(np.float64) @ WEIGHT.astype(np.float64)})
        about = {
            "name": job["model"]["name"], "inputs": [{"name": "x", "dtype": "float", "shape": ["batch", 4]}],
            "outputs": [{"name": "y", "dtype": "float", "shape": ["batch", 3]}], "batchable": True, "samples": 16,
            "reference_source": "torch float64", "formats": {"onnx": "model.onnx", "pt2": "model.pt2"},
            "tolerance": {"rel_l2": 1e-3, "cosine": 0.999}, "parameters": 12, "notes": ["seeded"]}
        if self._edit:
            self._edit(artifact, about)
        if not (artifact / "model.json").exists():
            (artifact / "model.json").write_text(json.dumps(about))
        return self._ending


def prepare(exporter: Exporter, cache: Path, **changes: Any) -> Any:
    plain: dict[str, Any] = {"env_digest": "d1", "seed": 1, "exporter_digest": "e1"}
    return prepare_zoo(["spam"], run_job=exporter, cache_dir=cache, **{**plain, **changes})[0]


def test_the_zoo_has_the_models_of_the_ready_matrices() -> None:
    assert {"spam", "resnet50", "mobilenet_v2", "minilm", "digits", "vgg19", "densenet201"} <= set(ZOO)
    assert all(model.title and model.source and model.description for model in ZOO.values())


def test_an_export_becomes_a_prepared_model_once(cache: Path) -> None:
    exporter = Exporter()
    prepared = prepare(exporter, cache)
    assert exporter.jobs == [
        {"protocol": "infermatrix.job/1", "task": "export", "model": {"name": "spam"}, "seed": 1}]
    assert prepared.formats == {"onnx": "model.onnx", "pt2": "model.pt2"}
    assert prepared.batchable
    assert prepared.tolerance == {"rel_l2": 1e-3, "cosine": 0.999, "mismatch_fraction": 0.01}
    assert (prepared.folder / "model.pt2").read_bytes() == b"program"
    assert prepare(exporter, cache) == prepared
    assert len(exporter.jobs) == 1


@pytest.mark.parametrize("change", [{"seed": 2}, {"env_digest": "d2"}, {"exporter_digest": "e2"}])
def test_what_an_export_depends_on_is_in_its_key(cache: Path, change: dict[str, Any]) -> None:
    exporter = Exporter()
    assert prepare(exporter, cache).folder != prepare(exporter, cache, **change).folder
    assert len(exporter.jobs) == 2


def test_a_damaged_export_is_made_again(cache: Path) -> None:
    exporter = Exporter()
    prepared = prepare(exporter, cache)
    known: dict[str, Any] = {"env_digest": "d1", "seed": 1, "exporter_digest": "e1", "cache_dir": cache}
    assert is_cached("spam", **known)
    assert not is_cached("resnet50", **known)
    (prepared.folder / "model.pt2").write_bytes(b"changed")
    assert not is_cached("spam", **known)
    assert prepare(exporter, cache) == prepared
    assert (prepared.folder / "model.pt2").read_bytes() == b"program"


def test_unknown_names_get_the_nearest(cache: Path) -> None:
    with pytest.raises(ModelError, match="no built-in model 'resnet5'") as caught:
        prepare_zoo(["resnet5"], env_digest="", run_job=Exporter(), seed=0, exporter_digest="", cache_dir=cache)
    assert "did you mean resnet50?" in caught.value.hint


@pytest.mark.parametrize(("ending", "message"), [
    (outcome(exit_code=1, log_tail="Traceback\nRuntimeError: no weights"), "no weights"),
    (outcome(oom_killed=True, exit_code=137), "out of memory"),
    (outcome(ending=Ending.DEADLINE, exit_code=None), "deadline"),
])
def test_a_failed_export_says_how_it_ended(cache: Path, ending: Outcome, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        prepare(Exporter(ending=ending), cache)


def change(name: str, edit: Callable[[dict[str, Any]], Any]) -> Edit:
    def apply(artifact: Path, _about: dict[str, Any]) -> None:
        arrays = read_npz(artifact / name, max_bytes=10**9)
        edit(arrays)
        write_npz(artifact / name, arrays)

    return apply


def link(artifact: Path, _about: dict[str, Any]) -> None:
    (artifact / "model.pt2").unlink()
    (artifact / "model.pt2").symlink_to("/etc/passwd")


def linked_folder(artifact: Path, about: dict[str, Any]) -> None:
    (artifact / "sub").symlink_to("/etc")
    about["formats"]["pt2"] = "sub/passwd"


def pickled(artifact: Path, _about: dict[str, Any]) -> None:
    np.savez(artifact / "reference.npz", y=np.array([{}]))


def not_onnx(artifact: Path, _about: dict[str, Any]) -> None:
    (artifact / "model.onnx").write_bytes(b"x" * 99)


def nested(artifact: Path, _about: dict[str, Any]) -> None:
    (artifact / "model.json").write_text("[" * 100_000)


def about(**values: Any) -> Edit:
    return lambda _artifact, plain: plain.update(values)


SPOILED: dict[str, tuple[Edit, str]] = {
    "no description": (lambda a, _: (a / "model.json").mkdir(), "missing or not a plain file"),
    "nested description": (nested, "not JSON"),
    "other name": (about(name="resnet50"), "calls itself"),
    "extra key": (about(command="rm"), "command"),
    "wrong type": (about(samples="16"), "samples"),
    "path outside": (about(formats={"onnx": "../model.onnx"}), "not a path inside"),
    "absolute path": (about(formats={"onnx": "model.onnx", "pt2": "/etc/passwd"}), "not a path inside"),
    "our own file as a format": (about(formats={"onnx": "model.onnx", "pt2": "model.json"}), "name of another file"),
    "link": (link, "not a plain file"), "linked folder": (linked_folder, "not a plain file"),
    "missing format": (lambda a, _: (a / "model.pt2").unlink(), "missing"),
    "not ONNX": (not_onnx, "not an ONNX model"),
    "pickled": (pickled, "reference.npz"),
    "NaN": (change("reference.npz", lambda a: a["y"].__setitem__((0, 0), np.nan)), "NaN or infinity"),
    "constant": (change("reference.npz", lambda a: a["y"].fill(2.0)), "do not depend"),
    "wrong input type": (change("inputs.npz", lambda a: a.update(x=a["x"].astype(np.float64))), "has type float64"),
    "wrong shape": (change("inputs.npz", lambda a: a.update(x=a["x"][:, :3])), "has shape"),
    "too few rows": (change("reference.npz", lambda a: a.update(y=a["y"][:5])), "has shape"),
    "other array": (change("inputs.npz", lambda a: a.update(z=a.pop("x"))), "do not match"),
    "lie about types": (about(inputs=[{"name": "x", "dtype": "int64", "shape": ["batch", 4]}]), "described as"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_spoiled_export_is_refused_and_leaves_nothing(cache: Path, case: str) -> None:
    edit, message = SPOILED[case]
    with pytest.raises(ModelError, match=message):
        prepare(Exporter(edit), cache)
    assert [path for path in cache.glob("*") if path.is_dir()] == []


def test_given_weights_are_in_the_job_and_their_content_in_the_key(cache: Path, tmp_path: Path) -> None:
    exporter, weights = Exporter(), tmp_path / "w.pth"
    weights.write_bytes(b"one")
    first = prepare(exporter, cache, weights=weights)
    assert exporter.jobs[0]["model"] == {"name": "spam", "weights": weights}
    assert prepare(exporter, cache, weights=weights) == first
    renamed = weights.rename(tmp_path / "other.pth")
    assert prepare(exporter, cache, weights=renamed) == first
    renamed.write_bytes(b"two")
    assert prepare(exporter, cache, weights=renamed).folder != first.folder
    assert prepare(exporter, cache).folder not in (first.folder, prepare(exporter, cache, weights=renamed).folder)
    assert len(exporter.jobs) == 3
