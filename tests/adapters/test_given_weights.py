"""A built-in network with weights out of a file: PyTorch's and safetensors, and all that no such file may be."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.adapters.jobs import RUNNERS, BackendPython, Runner

pytestmark = pytest.mark.slow
NAME = "spam"
# Fills a network as the seed 5 does, and writes its weights in every way that is read, and in some that are not.
WRITE = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from safetensors.torch import save_file
from zoo.catalogue import network
from zoo.source import fill_weights

module = network("spam")
fill_weights(module, 5)
state = module.state_dict()
torch.save(state, "plain.pth")
torch.save({"epoch": 3, "state_dict": {"module." + name: value for name, value in state.items()}}, "wrapped.pth")
save_file(state, "safe.safetensors")
torch.save(torch.nn.Linear(2, 2), "pickled.pth")
torch.save(network("super_resolution").state_dict(), "foreign.pth")
torch.save({**state, "0.weight": state["0.weight"][:3]}, "shape.pth")
torch.save({**state, "0.bias": state["0.bias"] * float("nan")}, "nan.pth")
torch.save({**state, "more": state["0.bias"]}, "more.pth")
torch.save([1, 2], "list.pth")
open("cut.safetensors", "wb").write(open("safe.safetensors", "rb").read()[:1000])
"""


@pytest.fixture(scope="module")
def folder(backend_python: BackendPython, tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("weights")
    subprocess.run([backend_python("_models"), "-c", WRITE, str(RUNNERS)], cwd=here, check=True, timeout=200)
    return here


def export(runner: Runner, weights: Path | None, seed: int = 1, name: str = NAME) -> tuple[Path, dict[str, Any]]:
    model = {"name": name, **({"weights": str(weights)} if weights else {})}
    job = {"protocol": "infermatrix.job/1", "task": "export", "trial": "e-1", "model": model, "seed": seed}
    return runner.run("_models", job, may_fail=True)


def reference(where: Path) -> Any:
    with np.load(where / "artifact" / "reference.npz") as archive:
        return archive["output"]


def test_the_exported_network_has_the_weights_of_the_file(runner: Runner, folder: Path) -> None:
    found = [export(runner, folder / file)[0] for file in ("plain.pth", "wrapped.pth", "safe.safetensors")]
    first = reference(found[0])
    assert all(np.array_equal(reference(other), first) for other in found[1:])
    own = reference(export(runner, None)[0])
    assert np.linalg.norm(first - own) > 0.1 * np.linalg.norm(own)
    assert json.loads((found[0] / "artifact" / "model.json").read_text())["notes"] == ["weights of the file plain.pth"]


@pytest.mark.parametrize(("file", "words"), [
    ("pickled.pth", "pickled.pth holds no weights that can be read"),
    ("cut.safetensors", "cut.safetensors holds no weights that can be read"),
    ("list.pth", "holds no state dict"),
    ("foreign.pth", "are not this network's: 0.weight, 0.bias"),
    ("shape.pth", "0.weight has shape [3, 200], not [128, 200]"),
    ("nan.pth", "hold NaN or infinity: 0.bias"),
    ("more.pth", "more unknown"),
])
def test_what_is_not_this_networks_is_refused_in_one_sentence(runner: Runner, folder: Path, file: str, words: str) -> None:
    _, result = export(runner, folder / file)
    assert words in result["failure"]["message"]
    assert "\n" not in result["failure"]["message"]


def test_a_model_with_weights_of_its_own_takes_no_others(runner: Runner, folder: Path) -> None:
    _, result = export(runner, folder / "plain.pth", name="digits")
    assert "trained weights of its own" in result["failure"]["message"]
