"""A row with `ablate`: the row itself, and one more for every setting (or combination of settings) that is swept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from orchestrator.backends import Registry, typed_setting
from orchestrator.config.entries import BackendRow, check_setting, read_row
from orchestrator.config.nearest import listed
from orchestrator.config.yamlfile import DocPath, Document
from orchestrator.model import BackendSpec, Scalar, SettingSpec

ALL = "all"
GRID = "grid"
MAX_ROWS = 256
"""What a single row may become: a grid grows fast, and every row is measured as often as any other."""


def read_backends(document: Document, registry: Registry) -> tuple[BackendRow, ...]:
    """The `backends` list. Raises ConfigError for unknown backends and settings, and for labels used twice."""
    rows: list[BackendRow] = []
    places: dict[str, DocPath] = {}
    for index, raw in enumerate(document.value["backends"]):
        path: DocPath = ("backends", index)
        for row in read_rows(document, path, {"backend": raw} if isinstance(raw, str) else raw, registry):
            label = row.entry.label
            if label in places:
                raise document.error(
                    path, f"label `{label}` is used twice, first at {document.where(places[label])}",
                    hint="A backend may be listed several times, each under a `label` of its own.",
                )
            places[label] = path
            rows.append(row)
    return tuple(rows)


def read_rows(document: Document, path: DocPath, raw: Mapping[str, Any], registry: Registry) -> tuple[BackendRow, ...]:
    """The row at `path`, followed by its ablations; their labels are `<label>[<setting>=<value>]`, `+` between settings.

    Values that the row has anyway are left out, so that nothing is measured twice. Raises ConfigError with file and line.
    """
    base = read_row(document, path, {key: value for key, value in raw.items() if key not in ("ablate", "sweep")}, registry)
    if "ablate" not in raw:
        if "sweep" in raw:
            raise document.error((*path, "sweep"), "`sweep` says how to `ablate`, which this row does not",
                                 hint="Add `ablate: all`, or settings with the values to try.")
        return (base,)
    spec = registry[base.entry.backend]
    values = _values(document, (*path, "ablate"), raw["ablate"], spec)
    changes = [change for change in _changes(values, grid=raw.get("sweep") == GRID) if _differs(change, base)]
    if not changes:
        raise document.error((*path, "ablate"), "nothing is left to sweep: the row has all of these values itself")
    if len(changes) >= MAX_ROWS:
        raise document.error((*path, "ablate"), f"this makes {len(changes) + 1:,} rows; at most {MAX_ROWS} are allowed",
                             hint="Sweep fewer values, or `one_at_a_time`.")
    swept = base.given | frozenset(values)
    rows = {_label(base, change): replace(base.entry, label=_label(base, change), settings={**base.entry.settings, **change})
            for change in changes}
    return (base, *(replace(base, entry=entry, given=swept, swept=frozenset(values)) for entry in rows.values()))


def _values(document: Document, path: DocPath, raw: Any, spec: BackendSpec) -> dict[str, tuple[Scalar, ...]]:
    """Setting -> the values to try, each checked."""
    if raw == ALL:
        every = {name: choices for name, setting in spec.settings.items() if (choices := _every(setting))}
        if not every:
            raise document.error(path, f"backend `{spec.name}` declares no setting with a choice")
        return every
    found: dict[str, tuple[Scalar, ...]] = {}
    for name, given in raw.items():
        check_setting(document, (*path, name), name, spec)
        found[name] = tuple(_typed(document, (*path, name, i), spec.settings[name], value) for i, value in enumerate(given))
    if not found:
        known = listed(spec.settings) or "none"
        raise document.error(path, "`ablate` names no setting", hint=f"Settings of {spec.name}: {known}.")
    return found


def _typed(document: Document, path: DocPath, setting: SettingSpec, value: Any) -> Scalar:
    try:
        return typed_setting(setting, value, document.text(path))
    except ValueError as error:
        raise document.error(path, f"setting `{setting.name}` {error}") from None


def _every(setting: SettingSpec) -> tuple[Scalar, ...]:
    """All values that a setting declares; none where they cannot be listed."""
    return setting.choices or ((True, False) if setting.type == "boolean" else ())


def _changes(values: Mapping[str, Sequence[Scalar]], *, grid: bool) -> list[dict[str, Scalar]]:
    if grid:
        return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]
    return [{name: value} for name, choices in values.items() for value in choices]


def _differs(change: Mapping[str, Scalar], base: BackendRow) -> bool:
    return any(base.entry.settings[name] != value for name, value in change.items())


def _label(base: BackendRow, change: Mapping[str, Scalar]) -> str:
    """Only what differs is named; the brackets are in no label that a file may give."""
    parts = [f"{name}={spelt(value)}" for name, value in change.items() if base.entry.settings[name] != value]
    return f"{base.entry.label}[{'+'.join(parts)}]"


def spelt(value: Scalar) -> str:
    """As one would write it in the file."""
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
