"""Weights for a built-in model: a file of the user's, or what a hub has by name. Kept in the cache, alone in a folder."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from orchestrator.errors import ConfigError, HubError
from orchestrator.model import digest
from orchestrator.models.catalogue import ZOO
from orchestrator.models.store import hashes_of

_ANSWER_S = 30.0
_CHUNK = 1024**2
_MAX_BYTES = 16 * 1024**3
_DEFAULT_FILE = "model.safetensors"
_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
_HF = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?(/(?P<file>[\w./-]+))?")
_CHECKSUM = re.compile(r"-([0-9a-f]{8,64})\.pth?$")  # PyTorch's convention: the first digits of the file's SHA-256
_REFUSALS: Mapping[int, str] = MappingProxyType({401: "wants a login for", 403: "wants a login for", 404: "does not have"})
HF_VARIABLE, TORCH_VARIABLE = "HF_ENDPOINT", "INFERMATRIX_TORCH_HUB"
_ENDPOINTS: Mapping[str, str] = MappingProxyType({
    HF_VARIABLE: "https://huggingface.co", TORCH_VARIABLE: "https://download.pytorch.org/models"})
# What torchvision's enumerations of weights say: built-in model -> name -> file.
TORCHVISION: Mapping[str, Mapping[str, str]] = MappingProxyType({
    "resnet50": {"IMAGENET1K_V1": "resnet50-0676ba61.pth", "IMAGENET1K_V2": "resnet50-11ad3fa6.pth"},
    "mobilenet_v2": {"IMAGENET1K_V1": "mobilenet_v2-b0353104.pth", "IMAGENET1K_V2": "mobilenet_v2-7ebf99e0.pth"},
    "vgg19": {"IMAGENET1K_V1": "vgg19-dcbb9e9d.pth"},
    "densenet201": {"IMAGENET1K_V1": "densenet201-c1103571.pth"},
    "efficientnet_b0": {"IMAGENET1K_V1": "efficientnet_b0_rwightman-7f5810bc.pth"},
    "shufflenet_v2": {"IMAGENET1K_V1": "shufflenetv2_x1-5666bf0f80.pth"},
})


def bring(weights: Path | str, network: str, cache_dir: Path, say: Callable[[str], None]) -> Path:
    """The file with the weights, in a folder of its own below `cache_dir`.

    Raises:
        ConfigError: the model takes none, the name is none, or the file no kind of weights that is read.
        HubError: the hub does not answer or does not have it.
    """
    if not ZOO[network].weights:
        raise ConfigError(f"{network} has trained weights of its own, it cannot be given others",
                          hint=f"these can: {', '.join(model.name for model in ZOO.values() if model.weights)}")
    if isinstance(weights, Path):
        if weights.suffix not in _SUFFIXES:
            raise ConfigError(f"{weights} is no file of weights that can be read",
                              hint=f"it has to end in {', '.join(_SUFFIXES)}; an .onnx file is a model of its own: {{path: …}}")
        target = cache_dir / hashes_of(cache_dir).sha256(weights)[:32] / weights.name
        return target if target.is_file() else _placed(target, lambda part: shutil.copyfile(weights, part))
    url = url_of(weights, network)
    target = cache_dir / digest(url)[:32] / _file_name(url)
    if target.is_file():
        return target
    say(f"fetching {weights} for {network}")
    return _placed(target, lambda part: _download(url, part, weights))


def url_of(name: str, network: str) -> str:
    """Where a hub has what it knows by that name.

    Raises:
        ConfigError: no hub can know such a name.
    """
    kind, _, rest = name.partition(":")
    if kind in ("https", "http"):
        return name
    if kind == "torchvision":
        known = TORCHVISION.get(network, {})
        if rest not in known:
            raise ConfigError(f"torchvision has no weights {rest or '(no name)'!r} for {network}",
                              hint=f"it has {', '.join(known)}" if known else "name others: hf:OWNER/REPOSITORY, or a file")
        return f"{_endpoint(TORCH_VARIABLE)}/{known[rest]}"
    found = _HF.fullmatch(f"timm/{rest}" if kind == "timm" else rest)
    if not found:
        raise ConfigError(f"{name!r} names no weights", hint="write hf:OWNER/REPOSITORY, with @REVISION and /FILE where needed, "
                                                            "timm:NAME, torchvision:NAME, an address or a file")
    return (f"{_endpoint(HF_VARIABLE)}/{found['repo']}/resolve/{found['revision'] or 'main'}/"
            f"{found['file'] or _DEFAULT_FILE}")


def _endpoint(variable: str) -> str:
    return os.environ.get(variable, _ENDPOINTS[variable]).rstrip("/")


def _file_name(url: str) -> str:
    name = Path(urllib.parse.urlsplit(url).path).name
    if not name.endswith(_SUFFIXES):
        raise ConfigError(f"{url} is no file of weights that can be read", hint=f"it has to end in {', '.join(_SUFFIXES)}")
    return name


def _placed(target: Path, write: Callable[[Path], object]) -> Path:
    """`target`, written whole or not at all."""
    target.parent.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=target.parent.parent) as scratch:
        part = Path(scratch) / target.name
        write(part)
        part.chmod(0o644)
        target.parent.mkdir(exist_ok=True)
        part.replace(target)
    return target


def _download(url: str, part: Path, name: str) -> None:
    host = urllib.parse.urlsplit(url).hostname or url
    hint = f"give a file instead ({{builtin: …, weights: FILE}}), or name a mirror in {HF_VARIABLE} or {TORCH_VARIABLE}"
    seen = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_S) as answer, part.open("wb") as file:
            expected, size = answer.headers.get("Content-Length"), 0
            while chunk := answer.read(_CHUNK):
                size += len(chunk)
                if size > _MAX_BYTES:
                    raise HubError(f"{name} is larger than {_MAX_BYTES // 1024**3} GB", hint=hint)
                seen.update(chunk)
                file.write(chunk)
    except urllib.error.HTTPError as error:
        error.close()
        why = _REFUSALS.get(error.code, f"answers {error.code} for")
        raise HubError(f"{host} {why} {name}", hint=hint) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise HubError(f"{host} does not answer, so {name} cannot be had: {reason}", hint=hint) from error
    wanted = _CHECKSUM.search(url)
    if expected is not None and size != int(expected):
        raise HubError(f"{host} sent {size} of {expected} bytes of {name}", hint="run it again")
    if wanted and not seen.hexdigest().startswith(wanted.group(1)):
        raise HubError(f"what {host} sent as {name} has another checksum than its name says", hint="run it again")
