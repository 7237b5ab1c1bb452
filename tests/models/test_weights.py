"""Weights by path and by name: from a hub that answers (a real server on this machine) and from all the ways it does not."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from orchestrator.errors import ConfigError, HubError
from orchestrator.models.weights import HF_VARIABLE, TORCH_VARIABLE, TORCHVISION, bring, url_of


@dataclass
class Hub:
    """What it serves by path, and what it was asked for."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    cut: bool = False
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server calls
            state.asked.append(self.path)
            body = state.files.get(self.path)
            self.send_response(state.statuses.get(self.path, 404 if body is None else 200))
            self.send_header("Content-Length", str(len(body or b"") + (5 if state.cut else 0)))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Hub(address=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv(HF_VARIABLE, state.address)
    monkeypatch.setenv(TORCH_VARIABLE, f"{state.address}/models")
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(weights: Path | str, cache: Path, network: str = "resnet50") -> Path:
    return bring(weights, network, cache, lambda _text: None)


@pytest.mark.parametrize(("name", "path"), [
    ("hf:owner/some.repo", "/owner/some.repo/resolve/main/model.safetensors"),
    ("hf:owner/repo@v1.0", "/owner/repo/resolve/v1.0/model.safetensors"),
    ("hf:owner/repo@abc/sub/weights.pth", "/owner/repo/resolve/abc/sub/weights.pth"),
    ("timm:tf_efficientnet_lite4.in1k", "/timm/tf_efficientnet_lite4.in1k/resolve/main/model.safetensors"),
])
def test_a_hub_that_answers_is_asked_once(hub: Hub, tmp_path: Path, name: str, path: str) -> None:
    hub.files[path] = b"weights"
    found = fetch(name, tmp_path)
    assert found.read_bytes() == b"weights"
    assert found.name == Path(path).name
    assert [entry.name for entry in found.parent.iterdir()] == [found.name]
    assert fetch(name, tmp_path) == found
    assert hub.asked == [path]


def test_what_torchvision_names_is_held_against_its_checksum(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = f"net-{hashlib.sha256(b'right').hexdigest()[:8]}.pth"
    monkeypatch.setattr("orchestrator.models.weights.TORCHVISION", {"resnet50": {"GOOD": good}})
    hub.files[f"/models/{good}"] = b"wrong"
    with pytest.raises(HubError, match="another checksum"):
        fetch("torchvision:GOOD", tmp_path)
    hub.files[f"/models/{good}"] = b"right"
    assert fetch("torchvision:GOOD", tmp_path).read_bytes() == b"right"


@pytest.mark.parametrize(("status", "words"), [
    (404, "127.0.0.1 does not have hf:a/b"), (401, "wants a login for hf:a/b"), (503, "answers 503 for hf:a/b")])
def test_what_a_hub_refuses_is_one_sentence(hub: Hub, tmp_path: Path, status: int, words: str) -> None:
    hub.statuses["/a/b/resolve/main/model.safetensors"] = status
    with pytest.raises(HubError, match=words) as caught:
        fetch("hf:a/b", tmp_path)
    assert caught.value.exit_code == 3
    assert "give a file instead" in caught.value.hint
    assert list(tmp_path.rglob("*.safetensors")) == []


def test_an_answer_cut_short_is_not_kept(hub: Hub, tmp_path: Path) -> None:
    hub.files["/a/b/resolve/main/model.safetensors"] = b"half"
    hub.cut = True
    with pytest.raises(HubError):
        fetch("hf:a/b", tmp_path)
    hub.cut = False
    assert fetch("hf:a/b", tmp_path).read_bytes() == b"half"


@pytest.mark.parametrize("name", ["hf:a/b", "torchvision:IMAGENET1K_V2"])
def test_a_hub_that_does_not_answer_is_one_sentence_with_a_way_out(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv(HF_VARIABLE, f"http://127.0.0.1:{unused.getsockname()[1]}")
        monkeypatch.setenv(TORCH_VARIABLE, f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(HubError, match=f"127.0.0.1 does not answer, so {name} cannot be had: .*refused") as caught:
            fetch(name, tmp_path)
    assert "\n" not in caught.value.message
    assert "weights: FILE" in caught.value.hint


@pytest.mark.parametrize(("name", "network", "words"), [
    ("hf:justaname", "resnet50", "names no weights"), ("hf:", "resnet50", "names no weights"),
    ("hf:a/b/notes.txt", "resnet50", "no file of weights"), ("https://example.org/", "resnet50", "no file of weights"),
    ("torchvision:V9", "resnet50", "no weights 'V9' for resnet50"),
    ("torchvision:IMAGENET1K_V1", "yolov4", "no weights 'IMAGENET1K_V1' for yolov4"),
    ("hf:a/b", "minilm", "minilm has trained weights of its own"),
])
def test_names_that_no_hub_can_know_are_refused_unasked(tmp_path: Path, name: str, network: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        fetch(name, tmp_path, network)


def test_a_file_is_put_alone_into_a_folder_by_its_content(tmp_path: Path) -> None:
    one, two, cache = tmp_path / "w.pth", tmp_path / "other" / "w.pth", tmp_path / "cache"
    two.parent.mkdir()
    one.write_bytes(b"a")
    two.write_bytes(b"b")
    (tmp_path / "secret.txt").write_text("not for the container")
    found = fetch(one, cache)
    assert (found.read_bytes(), [entry.name for entry in found.parent.iterdir()]) == (b"a", ["w.pth"])
    assert fetch(two, cache).parent != found.parent
    one.write_bytes(b"changed")
    assert fetch(one, cache) != found
    assert found.read_bytes() == b"a"


def test_an_onnx_file_is_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.touch()
    with pytest.raises(ConfigError, match=r"no file of weights") as caught:
        fetch(path, tmp_path)
    assert "path:" in caught.value.hint


def test_without_a_mirror_names_lead_to_the_hubs_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (HF_VARIABLE, TORCH_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    assert url_of("hf:a/b", "resnet50").startswith("https://huggingface.co/a/b/")
    file = TORCHVISION["vgg19"]["IMAGENET1K_V1"]
    assert url_of("torchvision:IMAGENET1K_V1", "vgg19") == f"https://download.pytorch.org/models/{file}"
