"""`include` and `exclude` as values: which axes an entry names, what it adds, and where it was written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.backends import Registry
from orchestrator.config.entries import BackendRow, ModelEntry, find_model, read_row, read_settings
from orchestrator.config.nearest import did_you_mean, listed
from orchestrator.config.yamlfile import DocPath, Document
from orchestrator.model import BackendSpec, Scalar

AXES = ("label", "backend", "model", "host", "device", "precision", "threads", "batch", "scenario", "instances", "feeding")
"""The words by which rules and `--only` name a cell's coordinates."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One entry of `include` or `exclude`."""

    where: str
    match: Mapping[str, str | int]  # axis -> value; threads as a number
    settings: Mapping[str, Scalar] = field(default_factory=dict)  # include only: added to what matches
    row: BackendRow | None = None  # include only: the row a new combination belongs to, where the rule says


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Both lists, with the models and rows that only an include names."""

    exclude: tuple[Rule, ...]
    include: tuple[Rule, ...]
    extra_models: tuple[ModelEntry, ...]
    extra_backends: tuple[BackendRow, ...]


def read_rules(
    document: Document, registry: Registry, *, rows: Sequence[BackendRow], models: Sequence[ModelEntry],
    builtin: Collection[str], cores: int,
) -> Rules:
    """Both lists from a checked document. Raises ConfigError for names that cannot mean anything."""
    raw_cores = document.value.get("limits", {}).get("cpus")
    cores = len(raw_cores) if raw_cores else cores
    exclude = []
    for index, raw in enumerate(document.value.get("exclude") or ()):
        path: DocPath = ("exclude", index)
        if "backend" in raw:
            registry.find(raw["backend"], where=document.where((*path, "backend")))
        exclude.append(Rule(where=document.where(path), match=_match(raw, cores)))
    reader = _Includes(document, registry, rows=list(rows), models=list(models), builtin=builtin)
    include = [reader.read(index, raw, cores) for index, raw in enumerate(document.value.get("include") or ())]
    return Rules(
        exclude=tuple(exclude), include=tuple(include), extra_models=tuple(reader.models[len(models):]),
        extra_backends=tuple(reader.rows[len(rows):]),
    )


def _match(raw: Mapping[str, Any], cores: int) -> dict[str, str | int]:
    match: dict[str, str | int] = {}
    for axis in AXES:
        if axis in raw:
            value = raw[axis]
            if axis in ("threads", "batch", "instances"):
                value = cores if value == "all" else int(value)
            match[axis] = value
    return match


class _Includes:
    """Reads includes one after the other: each may name rows and models that an earlier one brought."""

    def __init__(
        self, document: Document, registry: Registry, *, rows: list[BackendRow], models: list[ModelEntry],
        builtin: Collection[str],
    ) -> None:
        self.document = document
        self.registry = registry
        self.rows = rows
        self.models = models
        self.builtin = builtin

    def read(self, index: int, raw: Mapping[str, Any], cores: int) -> Rule:
        path: DocPath = ("include", index)
        row, spec = self._row(path, raw)
        match = _match(raw, cores)
        if match.get("scenario") == "single_stream" and match.get("batch", 1) != 1:
            raise self.document.error((*path, "batch"), "the batch of single_stream is always 1")
        if "model" in raw:
            match["model"] = self._model((*path, "model"), raw["model"])
        if "host" in raw and raw["host"] != "local":
            raise self.document.error((*path, "host"), f"unknown host `{raw['host']}`; trials run on `local` only")
        settings: dict[str, Scalar] = {}
        if "settings" in raw:
            if spec is None:
                raise self.document.error((*path, "settings"), "`settings` in an include need a `backend` or a `label`")
            settings = read_settings(self.document, (*path, "settings"), raw["settings"], spec)
        return Rule(where=self.document.where(path), match=match, settings=settings, row=row)

    def _row(self, path: DocPath, raw: Mapping[str, Any]) -> tuple[BackendRow | None, BackendSpec | None]:
        """The row that the include names, made if its label (or its backend) is new."""
        label, backend = raw.get("label"), raw.get("backend")
        if label is None and backend is None:
            self._no_version(path, raw)
            return None, None
        if backend is not None:
            self.registry.find(backend, where=self.document.where((*path, "backend")))
        found = [
            row for row in self.rows
            if (label is None or row.entry.label == label) and (backend is None or row.entry.backend == backend)
        ]
        taken = [row for row in self.rows if row.entry.label == (label or backend)]
        if not found and taken:
            own = taken[0].entry.backend
            raise self.document.error(
                (*path, "backend"), f"`{label or backend}` is already the label of a row of backend `{own}`"
            )
        if not found:
            if backend is None:
                labels = [row.entry.label for row in self.rows]
                raise self.document.error(
                    (*path, "label"), f"unknown label `{label}`{did_you_mean(str(label), labels)}",
                    hint=f"Labels: {listed(labels)}; a new label needs a `backend` beside it.",
                )
            new = {key: raw[key] for key in ("label", "backend", "settings", "version") if key in raw}
            found = [read_row(self.document, path, new, self.registry)]
            self.rows += found
        else:
            self._no_version(path, raw)
        spec = self.registry[found[0].entry.backend]
        exact = [row for row in found if row.entry.label == (label or backend)]
        return (exact or found)[0] if len(found) == 1 or exact else None, spec

    def _no_version(self, path: DocPath, raw: Mapping[str, Any]) -> None:
        """One label is one environment: another version needs another label, or a row would hold two."""
        if "version" in raw:
            raise self.document.error(
                (*path, "version"), "another `version` needs a new `label` and its `backend` beside it"
            )

    def _model(self, path: DocPath, text: str) -> str:
        if all(model.name != text for model in self.models):
            names = [*(model.name for model in self.models), *self.builtin]
            entry = find_model(self.document, path, text, names)
            if all(model.name != entry.name for model in self.models):
                self.models.append(entry)
            return entry.name
        return text
