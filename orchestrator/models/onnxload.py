"""Reading an ONNX file without its external data, and finding that data; every way it can be bad is one sentence."""

from __future__ import annotations

import difflib
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto, TensorProto

from orchestrator.errors import ModelError
from orchestrator.models.graphs import all_tensors

_EXPORT_HINT = "export it to ONNX first (torch.onnx.export, tf2onnx, skl2onnx …)"
_FOREIGN = {
    ".pt": "a PyTorch file", ".pth": "a PyTorch file", ".pt2": "a torch.export file", ".h5": "a Keras file",
    ".keras": "a Keras file", ".pb": "a TensorFlow file", ".tflite": "a TensorFlow Lite file",
    ".safetensors": "a file of weights without a graph", ".ort": "a file in ORT format",
}
_MIN_IR_WITH_OPSETS = 3


def read_model(path: Path) -> ModelProto:
    """The model's protobuf; tensors with external data stay unloaded, so files of any total size can be read.

    Raises:
        ModelError: no such file, not readable, not ONNX, truncated, or without a graph.
    """
    if not path.exists():
        raise ModelError(f"{path}: no such file", hint=_nearest_file(path))
    if not path.is_file():
        raise ModelError(f"{path} is not a file", hint="give the path of an .onnx file")
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
        if head:
            model = onnx.load(str(path), format="protobuf", load_external_data=False)
    except (OSError, MemoryError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    except DecodeError as error:
        raise _not_onnx(path, head) from error
    if not head:
        raise ModelError(f"{path} is empty", hint="the download or export was probably cut off; make the file again")
    graph = model.graph
    if not model.HasField("graph") or model.ir_version < 1 or not (graph.node or graph.output):
        raise _not_onnx(path, head)
    if model.ir_version >= _MIN_IR_WITH_OPSETS and not model.opset_import:
        raise ModelError(f"{path} names no opset, so it is truncated or not a whole ONNX model",
                         hint="check it with `python -c \"import onnx; onnx.checker.check_model('…')\"`")
    if not graph.output:
        raise ModelError(f"{path}: the graph has no outputs", hint="there would be nothing to compare or to compute")
    return model


def external_files(model: ModelProto, path: Path) -> tuple[str, ...]:
    """Relative POSIX paths, below the model's folder, of the files its tensors lie in.

    Raises:
        ModelError: a file is missing, too short, or lies outside the model's folder.
    """
    needed: dict[str, int] = {}
    for tensor in all_tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = _safe_location(entries.get("location", ""), tensor, path)
        end = _number(entries, "offset", tensor, path) + _number(entries, "length", tensor, path)
        needed[location] = max(needed.get(location, 0), end)
    for location, end in needed.items():
        _check_file(path, location, end)
    return tuple(sorted(needed))


def _safe_location(location: str, tensor: Any, path: Path) -> str:
    pure = PurePosixPath(location)
    windows = PureWindowsPath(location)
    if not location or "\0" in location or pure.is_absolute() or windows.drive or windows.root or ".." in windows.parts:
        raise ModelError(f"{path}: tensor {tensor.name!r} points to external data at {location!r}, "
                         "which is not inside the model's folder",
                         hint="external data must lie beside the .onnx file or below it")
    return pure.as_posix()


def _number(entries: dict[str, str], key: str, tensor: Any, path: Path) -> int:
    text = entries.get(key, "0") or "0"
    if not text.isascii() or not text.isdigit():
        raise ModelError(f"{path}: tensor {tensor.name!r} has external data with the {key} {text!r}",
                         hint="the file is damaged; export it again")
    return int(text)


def _check_file(path: Path, location: str, end: int) -> None:
    target = path.parent / location
    if not target.exists():
        raise ModelError(f"{path} needs its external data file {location!r}, which is missing",
                         hint=f"copy {location} into {path.parent}")
    real = target.resolve()
    # Beside the real .onnx file counts as inside: model caches keep both as links into one folder of blobs.
    allowed = (path.parent.resolve(), path.resolve().parent)
    if not any(real.is_relative_to(folder) for folder in allowed):
        raise ModelError(f"{path}: external data file {location!r} is a link to outside the model's folder",
                         hint="replace the link by the file itself (cp -L)")
    if not real.is_file():
        raise ModelError(f"{path}: external data {location!r} is not a file", hint="export the model again")
    if real.stat().st_size < end:
        raise ModelError(f"{path}: external data file {location!r} has {real.stat().st_size} bytes, {end} needed",
                         hint="the file is truncated; copy or export it again")


def _not_onnx(path: Path, head: bytes) -> ModelError:
    if head.startswith(b"version https://git-lfs"):
        return ModelError(f"{path} is a Git LFS pointer, not the model itself", hint="run `git lfs pull`")
    if path.suffix.lower() in _FOREIGN:
        return ModelError(f"{path} is {_FOREIGN[path.suffix.lower()]}, not an ONNX model", hint=_EXPORT_HINT)
    if head.lstrip()[:1] in (b"<", b"{"):
        return ModelError(f"{path} is text (HTML, XML or JSON), not an ONNX model",
                          hint="a failed download often leaves a web page; get the file again")
    if path.suffix.lower() == ".onnx":
        return ModelError(f"{path} is not an ONNX model, or it is truncated",
                          hint="download or export it again, and compare its size with the original's")
    return ModelError(f"{path} is not an ONNX model", hint=_EXPORT_HINT)


def _nearest_file(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix == ".onnx"]
    except OSError:
        return f"the folder {path.parent} does not exist or cannot be read"
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {close[0]}?" if close else "give the path of an .onnx file"
