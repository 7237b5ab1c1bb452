"""YAML with line numbers: each value knows where it was written, so that every complaint can say so.

Read as YAML 1.2's core schema (`on`, `no` and `yes` are text, `1e-3` is a number); duplicate keys and tags are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from orchestrator.errors import ConfigError

DocPath = tuple[str | int, ...]
"""Keys and indices that lead from the top of a document to a value."""

_MAX_BYTES = 1 << 20
_MAX_NODES = 100_000  # counted after aliases are followed: an anchor bomb ends here
_MAX_DEPTH = 40

_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_INT = re.compile(r"[-+]?[0-9]{1,20}\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,40}|[0-9]{1,40}(\.[0-9]{0,40})?)([eE][-+]?[0-9]{1,4})?\Z")


@dataclass(frozen=True, kw_only=True)
class Document:
    """Parsed values together with where each was written; nothing here is changed in place."""

    value: Any
    name: str  # as shown in errors: the path as the user gave it
    folder: Path  # what relative paths in the document are relative to
    lines: Mapping[DocPath, int] = field(default_factory=dict)
    texts: Mapping[DocPath, str] = field(default_factory=dict)  # plain scalars as they were spelt
    patches: Mapping[DocPath, str] = field(default_factory=dict)  # where a value came from, if not from the file

    def where(self, path: DocPath) -> str:
        """`matrix.yaml:12`, or the command-line option that set the value; the nearest parent where it has no line."""
        for length in range(len(path), -1, -1):
            prefix = path[:length]
            if prefix in self.patches:
                return self.patches[prefix]
            if prefix in self.lines:
                return f"{self.name}:{self.lines[prefix]}"
        return self.name

    def line(self, path: DocPath) -> int:
        """For sorting: 0 for what did not come from the file."""
        return next((self.lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.lines), 0)

    def text(self, path: DocPath) -> str | None:
        """How a plain (unquoted) scalar was spelt, so that a version `3.10` need not become 3.1."""
        return self.texts.get(path)

    def error(self, path: DocPath, sentence: str, *, hint: str = "") -> ConfigError:
        """The error to raise about the value at `path`."""
        return ConfigError(f"{self.where(path)}: {sentence}", hint=hint)

    def patched(self, path: DocPath, spelling: str | list[str], where: str) -> Document:
        """A copy with the value at `path` replaced by scalars spelt as in YAML; parents must be mappings or absent."""
        texts = {k: v for k, v in self.texts.items() if k[: len(path)] != path}
        value: Any
        if isinstance(spelling, str):
            value = plain_scalar(spelling)
            texts[path] = spelling
        else:
            value = [plain_scalar(text) for text in spelling]
            texts.update({(*path, i): text for i, text in enumerate(spelling)})
        lines = {k: v for k, v in self.lines.items() if k[: len(path)] != path}
        patches = {k: v for k, v in self.patches.items() if k[: len(path)] != path}
        return replace(
            self, value=_with(self.value, path, value), lines=lines, texts=texts, patches={**patches, path: where}
        )


def plain_scalar(text: str) -> Any:
    """An unquoted scalar under YAML 1.2's core schema; numbers that are not finite stay text."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.match(text):
        return int(text)
    if _FLOAT.match(text) and math.isfinite(number := float(text)):
        return number
    return text


def load_document(path: Path) -> Document:
    """Read one YAML file. Raises ConfigError for anything that is not one small, plain, unambiguous document."""
    name = str(path)
    try:
        with path.open("rb") as stream:
            raw = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{name}: no such file", hint="`infermatrix init` writes a starter matrix.yaml.") from None
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}") from None
    if len(raw) > _MAX_BYTES:
        raise ConfigError(f"{name}: is larger than {_MAX_BYTES >> 20} MiB, which no configuration needs to be")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(f"{name}:{line}: is not UTF-8 text") from None
    return parse_document(text, name=name, folder=path.parent)


def parse_document(text: str, *, name: str, folder: Path) -> Document:
    """As `load_document`, from text; `name` stands in the errors."""
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{name}:{line}: is not valid YAML: {_problem(error)}") from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise ConfigError(f"{name}:{line}: holds a character that YAML does not allow") from None
    except RecursionError:
        raise ConfigError(f"{name}: is nested too deeply") from None
    if root is None:
        raise ConfigError(f"{name}: is empty", hint="`infermatrix init` writes a starter matrix.yaml.")
    reader = _Reader(name)
    value = reader.convert(root, (), 0)
    return Document(value=value, name=name, folder=folder, lines=reader.lines, texts=reader.texts)


def _problem(error: yaml.MarkedYAMLError) -> str:
    """PyYAML splits some sentences into context ("expected …") and problem ("but found …")."""
    problem, context = error.problem or "", error.context or ""
    return f"{context}, {problem}" if problem.startswith("but ") else problem or context


class _Reader:
    """Walks PyYAML's nodes once, collecting values, lines and spellings."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[DocPath, int] = {}
        self.texts: dict[DocPath, str] = {}
        self._nodes = 0

    def convert(self, node: yaml.Node, path: DocPath, depth: int) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise ConfigError(f"{self.name}:{line}: expands to more than {_MAX_NODES} values")
        if depth > _MAX_DEPTH:  # also where an alias contains itself
            raise ConfigError(f"{self.name}:{line}: is nested more than {_MAX_DEPTH} deep")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path, line)
        if isinstance(node, yaml.SequenceNode):
            self._refuse_tag(node, "tag:yaml.org,2002:seq", line)
            return [self.convert(item, (*path, i), depth + 1) for i, item in enumerate(node.value)]
        assert isinstance(node, yaml.MappingNode)
        self._refuse_tag(node, "tag:yaml.org,2002:map", line)
        return self._mapping(node, path, depth)

    def _mapping(self, node: yaml.MappingNode, path: DocPath, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{self.name}:{line}: a key must be a single word, not a list or a mapping")
            key = key_node.value
            below = (*path, key)
            if key == "<<":
                raise ConfigError(f"{self.name}:{line}: merge keys (`<<`) are not part of YAML 1.2; repeat the values")
            if key in result:
                first = self.lines[below]
                raise ConfigError(f"{self.name}:{line}: key `{key}` is given twice, first on line {first}")
            self.lines[below] = line
            result[key] = self.convert(value_node, below, depth + 1)
        return result

    def _scalar(self, node: yaml.ScalarNode, path: DocPath, line: int) -> Any:
        self._refuse_tag(node, "tag:yaml.org,2002:str", line)
        text = str(node.value)
        if node.style is not None:  # quoted or block: always text
            return text
        self.texts[path] = text
        return plain_scalar(text)

    def _refuse_tag(self, node: yaml.Node, default: str, line: int) -> None:
        if node.tag != default:
            raise ConfigError(f"{self.name}:{line}: tags such as `{node.tag}` are not used here; write a plain value")


def _with(container: Any, path: DocPath, value: Any) -> Any:
    if not path:
        return value
    head, rest = path[0], path[1:]
    old = container if isinstance(container, dict) else {}
    return {**old, head: _with(old.get(head), rest, value)}
