"""The command line's word over the file's: `--set axis=value[,value]`, `--only axis=value[,value]`, `--shape`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.config.check import load_schema, resolve, types_of
from orchestrator.config.nearest import did_you_mean, listed
from orchestrator.config.rules import AXES
from orchestrator.config.yamlfile import DocPath, Document
from orchestrator.errors import ConfigError

_FILE_ONLY = ("include", "exclude")
_NESTED = ("profile", "limits")  # their keys need no prefix: `--set trials=7`
_SINGULAR = {"model": "models", "backend": "backends", "device": "devices", "host": "hosts", "scenario": "scenarios",
             "precisions": "precision", "batches": "batch"}


@dataclass(frozen=True, kw_only=True)
class Only:
    """A filter on cells: for every axis named, one of its values."""

    allowed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join(f"--only {axis}={','.join(values)}" for axis, values in self.allowed.items())


def with_sets(document: Document, sets: Sequence[str]) -> Document:
    """The document with every `--set` applied in order; still to be checked. Raises ConfigError for unknown keys."""
    if not isinstance(document.value, dict):
        return document  # the check has the better word for it
    for text in sets:
        where = f"--set {text}"
        key, values = _split(text, where, example="--set threads=1,2")
        path, node = _target(key, where)
        if path[0] == "profile" and len(path) == 2:
            document = _profile_as_mapping(document, where)
        kinds = types_of(node)
        if "array" in kinds:
            document = document.patched(path, values, where)
        elif len(values) == 1:
            document = document.patched(path, values[0], where)
        else:
            raise ConfigError(f"{where}: `{key}` takes one value, not {len(values)}")
    return document


def parse_only(texts: Sequence[str]) -> Only:
    """`backend=onnxruntime,openvino` …: values of the same axis add up, different axes must all hold."""
    allowed: dict[str, tuple[str, ...]] = {}
    plural = {"batches": "batch", **{f"{axis}s": axis for axis in AXES if not axis.endswith("s")}}
    for text in texts:
        where = f"--only {text}"
        axis, values = _split(text, where, example="--only backend=onnxruntime,openvino")
        axis = plural.get(axis, axis)
        if axis not in AXES:
            raise ConfigError(f"{where}: unknown axis `{axis}`{did_you_mean(axis, AXES)}", hint=f"Axes: {listed(AXES)}.")
        allowed[axis] = tuple(dict.fromkeys((*allowed.get(axis, ()), *values)))
    return Only(allowed=allowed)


def parse_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """`input=1x3x224x224` … → input name → dims; `input=` is a scalar."""
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, equals, dims = text.rpartition("=")
        parts = dims.lower().replace("×", "x").split("x") if dims else []
        if not name or not equals or any(not (p.isascii() and p.isdigit() and int(p) >= 1) for p in parts):
            raise ConfigError(
                f"--shape {text}: must be an input's name and its dimensions", hint="For example: --shape input=1x3x224x224"
            )
        if name in shapes:
            raise ConfigError(f"--shape {text}: the shape of `{name}` is given twice")
        shapes[name] = tuple(int(part) for part in parts)
    return shapes


def settable() -> tuple[str, ...]:
    """Every key that `--set` takes: the plain ones first. Keys below `interpreters` are the user's own."""
    plain: list[str] = []
    nested: list[str] = []
    for key, node in _properties().items():
        if key in _FILE_ONLY:
            continue
        if key == "profile" or "object" not in types_of(node):
            plain.append(key)
        nested += [f"{key}.{inner}" for inner in node.get("properties", {})]
    return (*plain, *nested)


def _split(text: str, where: str, *, example: str) -> tuple[str, list[str]]:
    key, equals, rest = text.partition("=")
    values = [value.strip() for value in rest.split(",")]
    if not equals or not key.strip() or not all(values):
        raise ConfigError(f"{where}: must be a name, `=` and one value or several with commas", hint=f"For example: {example}")
    return key.strip(), values


def _target(key: str, where: str) -> tuple[DocPath, Mapping[str, Any]]:
    """Where in the document a key of `--set` lies, and its schema."""
    schema, properties = load_schema("matrix"), _properties()
    head, dot, inner = key.partition(".")
    head = _SINGULAR.get(head, head)
    if head in _FILE_ONLY:
        raise ConfigError(f"{where}: `{head}` can be written in a matrix.yaml only", hint="--only narrows a matrix down.")
    if not dot:
        for outer in _NESTED:
            if head in properties[outer]["properties"] and head not in properties:
                return (outer, head), resolve(properties[outer]["properties"][head], schema)
        if head in properties and (head == "profile" or "object" not in types_of(properties[head])):
            return (head,), properties[head]
    elif head in properties and "object" in types_of(properties[head]):
        node = properties[head]
        known = node.get("properties", {})
        if inner in known:
            return (head, inner), resolve(known[inner], schema)
        if isinstance(node.get("additionalProperties"), dict) and inner:
            return (head, inner), node["additionalProperties"]
    known_keys = settable()
    heads = (head,) if dot else _NESTED
    inner_keys = [k.partition(".")[2] for k in known_keys if k.startswith(tuple(f"{h}." for h in heads))]
    near = did_you_mean(inner, inner_keys) if dot and inner_keys else did_you_mean(key, [*known_keys, *inner_keys])
    raise ConfigError(f"{where}: there is no `{key}` to set{near}", hint=f"Known: {listed(known_keys)}.")


def _profile_as_mapping(document: Document, where: str) -> Document:
    """`profile: quick` as `{extends: quick}`, so that one of its values can be changed."""
    value = document.value if isinstance(document.value, dict) else {}
    current = value.get("profile", "quick")
    if isinstance(current, dict):
        return document
    return document.patched(("profile", "extends"), str(current), document.where(("profile",)) if "profile" in value else where)


def _properties() -> Mapping[str, Any]:
    properties: Mapping[str, Any] = load_schema("matrix")["properties"]
    return properties
