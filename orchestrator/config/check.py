"""Documents against their JSON Schema, with complaints of one sentence: where, what was expected, nearest match.

The schemas use no anyOf/oneOf: `type: [string, object]` says the same and lets an error point at one cause.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from orchestrator.config.nearest import did_you_mean, listed
from orchestrator.config.yamlfile import DocPath, Document

Schema = Mapping[str, Any]
Sentence = tuple[str, str]
"""What is wrong, and a hint (or "")."""

_TYPE_WORDS = {
    "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
    "array": "a list", "object": "a mapping", "null": "nothing",
}


@dataclass(frozen=True, kw_only=True)
class _Fault:
    """One thing that the schema says no to."""

    path: DocPath
    rule: str  # the schema's keyword
    expected: Any  # that keyword's value
    found: Any
    schema: Schema  # around the keyword
    message: str  # the validator's own words


@cache
def load_schema(name: str) -> Schema:
    """A schema shipped in this package: `matrix` or `backend`."""
    text = resources.files("orchestrator.config").joinpath(f"{name}.schema.json").read_text(encoding="utf-8")
    schema: Schema = json.loads(text)
    return schema


def checked(document: Document, schema_name: str) -> Document:
    """The document with text restored where text is expected; raises ConfigError about its first fault."""
    schema = load_schema(schema_name)
    restored = replace(document, value=_restore(document, document.value, schema, schema, ()))
    faults = [fault for error in _validator(schema_name).iter_errors(restored.value) for fault in _faults(error)]
    if faults:
        # A key that is missing comes last: it may be there, misspelt.
        fault = min(faults, key=lambda f: (f.rule == "required", document.line(f.path), len(f.path), list(map(str, f.path))))
        sentence, hint = _SENTENCES.get(fault.rule, _other)(fault)
        raise document.error(fault.path, sentence, hint=hint)
    return restored


@cache
def _validator(schema_name: str) -> Draft202012Validator:
    return Draft202012Validator(load_schema(schema_name))


def kind_of(value: Any) -> str:
    """What a wrong value is, in words: `text "3x"`, `the number 3`, `a list` …"""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        short = value if len(value) <= 60 else value[:57] + "…"
        return f"the text `{short}`"
    return "a list" if isinstance(value, list) else "a mapping"


def resolve(node: Schema, root: Schema) -> Schema:
    """Follows a local `$ref` (`#/$defs/…`)."""
    while "$ref" in node:
        target: Any = root
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def types_of(node: Schema) -> tuple[str, ...]:
    """The JSON types a schema node allows; empty where it says nothing."""
    types = node.get("type", ())
    return (types,) if isinstance(types, str) else tuple(types)


def _restore(document: Document, value: Any, node: Schema, root: Schema, path: DocPath) -> Any:
    node = resolve(node, root)
    if isinstance(value, dict):
        known = node.get("properties", {})
        other = node.get("additionalProperties")
        other = other if isinstance(other, dict) else {}
        return {k: _restore(document, v, known.get(k, other), root, (*path, k)) for k, v in value.items()}
    if isinstance(value, list):
        items = node.get("items", {})
        return [_restore(document, v, items, root, (*path, i)) for i, v in enumerate(value)]
    types = types_of(node)
    wants_text = "string" in types and not {"integer", "number", "boolean"} & set(types)
    if wants_text and isinstance(value, (bool, int, float)):
        text = document.text(path)
        return value if text is None else text
    return value


def _faults(error: ValidationError) -> list[_Fault]:
    """Usually one; an unknown key is at the key itself, not at the mapping around it."""
    schema: Any = error.schema
    found: Any = error.instance
    fault = _Fault(
        path=tuple(error.absolute_path), rule=str(error.validator), expected=error.validator_value, found=found, schema=schema,
        message=error.message,
    )
    if fault.rule != "additionalProperties":
        return [fault]
    return [replace(fault, path=(*fault.path, key)) for key in found if key not in schema.get("properties", {})]


def _other(fault: _Fault) -> Sentence:
    return f"{_subject(fault.path)} is not valid: {fault.message}", ""


def _unknown(fault: _Fault) -> Sentence:
    known, path = list(fault.schema.get("properties", {})), fault.path
    inside = f" in {_subject(path[:-1])}" if len(path) > 1 else ""
    return f"unknown key `{path[-1]}`{inside}{did_you_mean(str(path[-1]), known)}", f"Known keys: {listed(known)}."


def _type(fault: _Fault) -> Sentence:
    types = [fault.expected] if isinstance(fault.expected, str) else fault.expected
    words = " or ".join(_TYPE_WORDS[t] for t in types if t != "null" or len(types) == 1)
    hint = ""
    if "array" in types and isinstance(fault.found, (str, int, float)):
        hint = f"Write it in brackets: [{fault.found}]."
    return f"{_subject(fault.path)} must be {words}, not {kind_of(fault.found)}", hint


def _enum(fault: _Fault) -> Sentence:
    options = [str(option) for option in fault.expected]
    near = did_you_mean(str(fault.found), options)
    return f"{_subject(fault.path)} must be {_one_of(options)}, not {kind_of(fault.found)}{near}", ""


def _bound(words: str) -> Callable[[_Fault], Sentence]:
    def make(fault: _Fault) -> Sentence:
        return f"{_subject(fault.path)} must be {words} {fault.expected}, not {fault.found}", ""
    return make


def _empty(fault: _Fault) -> Sentence:
    return f"{_subject(fault.path)} must not be empty", ""


def _unique(fault: _Fault) -> Sentence:
    items: list[Any] = fault.found
    twice = next(item for i, item in enumerate(items) if item in items[:i])
    return f"{_subject(fault.path)} lists {'the same entry' if isinstance(twice, dict) else f'`{twice}`'} twice", ""


def _required(fault: _Fault) -> Sentence:
    missing = next(key for key in fault.expected if key not in fault.found)
    return f"{_subject(fault.path)} needs the key `{missing}`", ""


def _pattern(fault: _Fault) -> Sentence:
    allowed = fault.schema.get("$comment", f"match {fault.expected}")
    return f"{_subject(fault.path)} must {allowed}, not {kind_of(fault.found)}", ""


def _too_long(fault: _Fault) -> Sentence:
    return f"{_subject(fault.path)} must not be longer than {fault.expected}", ""


def _keys(fault: _Fault) -> Sentence:
    known = listed(fault.schema.get("properties", {}))
    exactly = "exactly one" if fault.schema.get("maxProperties") == 1 else "at least one"
    return f"{_subject(fault.path)} must hold {exactly} of {known}", ""


def _one_of(options: list[str]) -> str:
    return f"`{options[0]}`" if len(options) == 1 else f"one of {listed(options)}"


_SENTENCES: Mapping[str, Callable[[_Fault], Sentence]] = {
    "additionalProperties": _unknown, "type": _type, "enum": _enum, "uniqueItems": _unique, "required": _required,
    "minimum": _bound("at least"), "maximum": _bound("at most"), "exclusiveMinimum": _bound("more than"),
    "exclusiveMaximum": _bound("less than"), "minItems": _empty, "minLength": _empty, "pattern": _pattern,
    "maxLength": _too_long, "maxItems": _too_long, "minProperties": _keys, "maxProperties": _keys,
}


def _subject(path: DocPath) -> str:
    """How a sentence names the value: its key, or its place in a list."""
    if not path:
        return "the file"
    if isinstance(path[-1], str):
        return f"`{path[-1]}`"
    key = next((p for p in reversed(path) if isinstance(p, str)), None)
    return f"an entry of `{key}`" if key is not None else "an entry"
