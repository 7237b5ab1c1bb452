"""Where, on what and how it was measured: the conditions section, as tables of text (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.facts.table import COLUMNS, fact_rows
from orchestrator.report.cells import CellView, items, part
from orchestrator.report.text import compact, one_line
from orchestrator.report.units import finite, plain
from orchestrator.report.view import ReportView, axis_text


@dataclass(frozen=True, kw_only=True)
class Table:
    """A heading, column titles and rows of text; `empty` is said where there are no rows."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    empty: str = ""


def headline(view: ReportView) -> tuple[tuple[str, str], ...]:
    """What was run, when, where, in which isolation and why: (term, text) in reading order."""
    run = part(view.matrix, "run")
    labels = len({cell.label for cell in view.cells})
    cells, models = len(view.cells), len(view.models)
    hosts = [_host_words(host) for host in _objects(view.matrix, "hosts")]
    isolation = one_line(run.get("isolation"), 40) or "not recorded"
    reason = one_line(run.get("isolation_reason"), 200)
    found = [
        ("What", f"{_count(labels, 'backend')} × {_count(models, 'model')}, {_count(cells, 'cell')}: "
                 f"{view.measured} with a valid figure, {cells - view.measured} with a status that says why not"),
        ("When", _when(run)),
        ("Where", "; ".join(hosts) or "not recorded"),
        ("Isolation", isolation + (f" – {reason}" if reason else "")),
        ("Profile", f"{one_line(run.get('profile'), 40) or 'not recorded'}, seed {one_line(run.get('seed'), 40) or '–'}"),
        ("Command", one_line(run.get("command"), 400)),
    ]
    return tuple((term, text) for term, text in found if text)


def condition_tables(view: ReportView) -> tuple[Table, ...]:
    """Run, hosts, machine states, images and models."""
    matrix = view.matrix
    return (_run(matrix), _hosts(matrix), _states(matrix), _images(matrix), _models(matrix), _backends(view.cells),
            *_settings(matrix), *_facts(matrix))


def excluded_table(view: ReportView) -> Table:
    """Combinations that were left out before anything ran, with the reason."""
    rows = []
    for raw in _objects(view.matrix, "excluded"):
        cell = part(raw, "cell") or raw
        rest = [axis_text(axis, cell[axis]) for axis in ("scenario", "batch", "precision", "threads", "device", "host")
                if cell.get(axis) is not None]
        rows.append((one_line(cell.get("label") or cell.get("backend") or "–"), one_line(cell.get("model") or "–"),
                     " · ".join(rest) or "–", one_line(raw.get("why") or raw.get("reason") or "no reason recorded")))
    return Table(title="Excluded combinations", columns=("Backend", "Model", "Condition", "Why"), rows=tuple(rows),
                 empty="None.")


def warnings_of(view: ReportView) -> tuple[str, ...]:
    """The run's warnings; that there were several machine states is said even if the merge did not."""
    found = tuple(compact(warning, 500) for warning in items(view.matrix.get("warnings")))
    states = {str(cell.raw.get("state")) for cell in view.cells if cell.has_figures and cell.raw.get("state")}
    if len(states) > 1 and not any("state" in warning for warning in found):
        found += (f"the machine was in {len(states)} different states: figures are compared within a state only",)
    return found


def _run(matrix: Mapping[str, Any]) -> Table:
    known = {"isolation", "isolation_reason"}
    run = {key: value for key, value in part(matrix, "run").items() if key not in known}
    # A seed is no quantity: it gets no thousands separators.
    rows = [(_words(key), _plain(value) if isinstance(value, (bool, Mapping, list)) else compact(value))
            for key, value in run.items() if value is not None]
    return Table(title="Run", columns=("", ""), rows=tuple(rows), empty="Not recorded.")


def _hosts(matrix: Mapping[str, Any]) -> Table:
    rows = []
    for host in _objects(matrix, "hosts"):
        why = part(host, "null_reasons")
        rest = [f"{_words(key)}: {_plain(value) if value is not None else f'– ({one_line(why[key])})'}"
                for key, value in host.items() if key not in _HOST_SHOWN and (value is not None or key in why)]
        memory = _plain(host.get("memory_mb"))
        rows.append((_plain(host.get("name")), _plain(host.get("cpu") or host.get("cpu_model")), _cpus(host), memory,
                     _plain(host.get("kernel")), _plain(host.get("os")), "; ".join(rest) or "–"))
    return Table(title="Hosts", rows=tuple(rows), empty="Not recorded.",
                 columns=("Host", "CPU", "CPUs", "Memory, MB", "Kernel", "System", "More"))


def _states(matrix: Mapping[str, Any]) -> Table:
    rows = []
    for host in _objects(matrix, "hosts"):
        for state in _objects(host, "states"):
            rest = {k: v for k, v in state.items() if k not in ("id", "trials")}
            rows.append((_plain(host.get("name")), _plain(state.get("id")), _plain(state.get("trials")),
                         "; ".join(f"{_words(k)}: {_plain(v)}" for k, v in rest.items() if v is not None) or "–"))
    return Table(title="Machine states seen, with their probes", columns=("Host", "State", "Trials", "Probes"),
                 rows=tuple(rows), empty="None recorded.")


def _images(matrix: Mapping[str, Any]) -> Table:
    rows = tuple(
        (_plain(i.get("name")), _plain(i.get("size_mb")), _plain(i.get("packages")), _plain(i.get("source")),
         _plain(i.get("digest")), _plain(i.get("reference")))
        for i in _objects(matrix, "images")
    )
    return Table(title="Images and environments", rows=rows, empty="Not recorded.",
                 columns=("Name", "Size, MB", "Packages", "Source", "Digest", "Reference"))


def _models(matrix: Mapping[str, Any]) -> Table:
    rows = tuple(
        (_plain(m.get("name")), _plain(m.get("sha256")), _tensors(m.get("inputs")), _tensors(m.get("outputs")),
         _plain(m.get("reference_source")), " ".join(compact(note) for note in items(m.get("notes"))) or "–")
        for m in _objects(matrix, "models")
    )
    return Table(title="Models", columns=("Model", "SHA-256", "Inputs", "Outputs", "Reference outputs from", "Notes"),
                 rows=rows, empty="Not recorded.")


def _backends(cells: Sequence[CellView]) -> Table:
    entries = Counter((cell.label, _plain(cell.raw.get("backend")), settings_text(cell) or "defaults") for cell in cells)
    # A cell that never ran knows no version; another cell of its entry does.
    versions: dict[str, list[str]] = {}
    for cell in cells:
        known = versions.setdefault(cell.label, [])
        if (version := one_line(cell.raw.get("backend_version"), 60)) and version not in known:
            known.append(version)
    rows = tuple((label, backend, ", ".join(versions[label]) or "–", settings, str(count))
                 for (label, backend, settings), count in entries.items())
    return Table(title="Backends", columns=("Label", "Backend", "Version", "Settings", "Cells"), rows=rows)


def _settings(matrix: Mapping[str, Any]) -> tuple[Table, ...]:
    """Defaults and what vendors recommend; no table in a matrix from before they were written down."""
    declared = part(matrix, "settings")
    rows = [
        (one_line(backend, 60), one_line(name, 60), _spelt(setting.get("default")),
         _spelt(setting["recommended"]) if setting.get("source") else "–", one_line(setting.get("source"), 240) or "–")
        for backend, settings in declared.items() if isinstance(settings, Mapping)
        for name, setting in settings.items() if isinstance(setting, Mapping)
    ]
    columns = ("Backend", "Setting", "Default here", "Recommended by its vendor", "Where")
    return (Table(title="Settings", columns=columns, rows=tuple(rows)),) if rows else ()


def _facts(matrix: Mapping[str, Any]) -> tuple[Table, ...]:
    """What each backend is; no table in a matrix from before facts were written down."""
    rows = tuple(tuple(one_line(text, 300) for text in row) for row in fact_rows(part(matrix, "facts")))
    return (Table(title="Facts", columns=COLUMNS, rows=rows),) if rows else ()


def _spelt(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else "the backend's own" if value is None else compact(value, 60)


def settings_text(cell: CellView) -> str:
    """ "a=1, b=all"."""
    settings = part(cell.raw, "settings")
    said = [f"{key}={compact(value, 60)}" for key, value in sorted(settings.items())]
    said += ["compiled kept"] if cell.raw.get("compiled") == "kept" else []
    return one_line(", ".join(said), 400)


_HOST_SHOWN = frozenset({"name", "cpu", "cpu_model", "cpus", "memory_mb", "kernel", "os", "states", "nodes", "null_reasons"})


def _cpus(host: Mapping[str, Any]) -> str:
    """Their number, whether the host gives that or a list of them."""
    cpus = host.get("cpus")
    return str(len(cpus)) if isinstance(cpus, list) else _plain(cpus)


def _objects(raw: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    return [found for found in items(raw.get(key)) if isinstance(found, Mapping)]


def _host_words(host: Mapping[str, Any]) -> str:
    cpu, cpus = one_line(host.get("cpu") or host.get("cpu_model"), 80), _cpus(host)
    what = ", ".join(word for word in (cpu, f"{cpus} CPUs" if cpus != "–" else "") if word)
    return one_line(host.get("name"), 60) + (f" ({what})" if what else "")


def _when(run: Mapping[str, Any]) -> str:
    started, finished = _moment(run.get("started")), _moment(run.get("finished"))
    if started is None:
        return one_line(run.get("started"), 60)
    words = started.strftime("%Y-%m-%d %H:%M") + (" UTC" if not started.utcoffset() else started.strftime(" %z"))
    if finished is None or (finished.tzinfo is None) != (started.tzinfo is None) or finished < started:
        return words
    seconds = round((finished - started).total_seconds())
    minutes, hours = seconds // 60, seconds // 3600
    took = f"{seconds} s" if not minutes else f"{minutes} min {seconds % 60} s" if not hours else (
        f"{hours} h {minutes % 60} min")
    return f"{words}, {took}"


def _moment(value: object) -> datetime | None:
    try:
        # Python 3.10 does not read the Z that ISO 8601 allows.
        return datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        return None


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _words(key: object) -> str:
    return one_line(key, 60).replace("_", " ")


def _plain(value: object) -> str:
    if value is None or value == "":
        return "–"
    number = finite(value)
    if number is not None:
        return f"{number:,.0f}" if number == int(number) else plain(number)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return one_line("; ".join(map(_plain, value)), 240) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(k)} {_plain(v)}" for k, v in value.items()) or "–"
    return compact(value)


def _tensors(value: object) -> str:
    """name float[batch, 3, 224, 224] for each tensor, whatever form the specification has."""
    words = []
    for tensor in items(value):
        if isinstance(tensor, Mapping):
            shape = ", ".join(one_line(dim, 30) for dim in items(tensor.get("shape")))
            words.append(f"{one_line(tensor.get('name'), 60)} {one_line(tensor.get('dtype'), 20)}[{shape}]")
        else:
            words.append(compact(tensor, 80))
    return "; ".join(words) or "–"
