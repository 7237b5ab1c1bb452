"""The built-in networks have the sizes that the catalogue says, by PyTorch's own count; nothing is exported for it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from orchestrator.models.catalogue import ZOO
from orchestrator.models.weights import TORCHVISION
from tests.adapters.jobs import RUNNERS, BackendPython

NETWORKS = [name for name, model in ZOO.items() if model.weights]
TOKENS = 128  # the length that the literature counts BERT at


def request(name: str) -> list[Any]:
    text = ZOO[name].inputs
    if text.endswith("tokens"):
        return [name, [int(text.split()[0])], "int64", 3]
    return [name, [int(part) for part in text.split("×")], "float32", 1]


@pytest.fixture(scope="module")
def counted(backend_python: BackendPython) -> dict[str, Any]:
    wanted = {name: request(name) for name in NETWORKS}
    wanted["lite4 of 300"] = ["efficientnet_lite4", [3, 300, 300], "float32", 1]
    wanted["yolov4 of 608"] = ["yolov4", [3, 608, 608], "float32", 1]
    command = [backend_python("_models"), str(Path(__file__).with_name("network_sizes.py")), str(RUNNERS), json.dumps(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout))


def test_both_sides_know_the_same_models(counted: dict[str, Any]) -> None:
    assert set(counted["names"]) == set(ZOO)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_as_large_as_the_catalogue_says(name: str, counted: dict[str, Any]) -> None:
    found = counted["sizes"][name]
    assert (found["parameters"], found["multiply_adds"]) == (ZOO[name].parameters, ZOO[name].multiply_adds)


def test_yolov4_has_three_heads_and_as_many_numbers_as_darknets_file(counted: dict[str, Any]) -> None:
    found = counted["sizes"]["yolov4"]
    assert found["outputs"] == [[1, 255, 52, 52], [1, 255, 26, 26], [1, 255, 13, 13]]
    # yolov4.weights: 20 bytes of header, then every weight, bias and running statistic as a float.
    assert 20 + 4 * (found["parameters"] + found["statistics"]) == 257_717_640
    assert 2 * counted["sizes"]["yolov4 of 608"]["multiply_adds"] == pytest.approx(128.459e9, rel=1e-3)  # darknet's BFLOPs


def test_efficientnet_lite4_at_its_own_size_is_as_published(counted: dict[str, Any]) -> None:
    found = counted["sizes"]["lite4 of 300"]["multiply_adds"]
    assert found == pytest.approx(2.553e9, rel=0.01)  # d-li14/efficientnet-lite.pytorch
    assert found == pytest.approx(2.64e9, rel=0.05)  # Google's own table, which counts more than products


def test_torchvision_says_the_same_of_its_networks_and_where_their_weights_are(counted: dict[str, Any]) -> None:
    for name, known in counted["torchvision"].items():
        assert {key: url.rpartition("/")[2] for key, (url, _count, _ops) in known.items()} == TORCHVISION[name]
        for _url, parameters, operations in known.values():
            assert parameters == ZOO[name].parameters
            assert operations * 1e9 == pytest.approx(ZOO[name].multiply_adds, abs=0.6e6)
