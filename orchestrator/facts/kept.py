"""`images/<name>/facts.yaml`, `images/_ended.yaml` → values: a fact has a source and a date, or a reason for being null."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.config.check import checked
from orchestrator.config.yamlfile import Document, load_document

FACTS_FILE = "facts.yaml"
ENDED_FILE = "_ended.yaml"
NAMES = ("released", "languages", "devices", "vendors", "formats", "debugging", "serving", "outside")
NO_FILE = "nobody has written this backend's facts.yaml"


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One fact; `value` is None only with a `why`."""

    value: str | None
    source: str | None = None  # an address or a document, or the command that measured it
    date: str | None = None
    why: str | None = None

    def to_json(self) -> dict[str, Any]:
        """All four, as the matrix and `backends --json` have them."""
        return {"value": self.value, "source": self.source, "date": self.date, "why": self.why}


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A system that ended: it has no image, and keeps its row."""

    name: str
    what: str
    when: str | None
    replaced_by: str
    source: str
    date: str
    why: str | None = None


def load_facts(folder: Path) -> dict[str, Fact]:
    """The facts of one backend's folder; all null, with the reason, where it has no facts.yaml. Raises ConfigError."""
    path = folder / FACTS_FILE
    if not path.is_file():
        return {name: Fact(value=None, why=NO_FILE) for name in NAMES}
    document = checked(load_document(path), "facts")
    return {name: _fact(document, name) for name in NAMES}


def load_ended(images: Path) -> tuple[Ended, ...]:
    """The systems that ended; none where the file is not there. Raises ConfigError."""
    path = images / ENDED_FILE
    if not path.is_file():
        return ()
    document = checked(load_document(path), "ended")
    for place, system in enumerate(document.value["systems"]):
        if system["when"] is None and "why" not in system:
            raise document.error(("systems", place), f"`{system['name']}` has neither `when` nor `why` it is not known")
    return tuple(Ended(date=document.value["date"], **system) for system in document.value["systems"])


def _fact(document: Document, name: str) -> Fact:
    raw = document.value["facts"][name]
    needed = "why" if raw["value"] is None else "source"
    if needed not in raw:
        raise document.error(("facts", name), f"fact `{name}` has no `{needed}`")
    return Fact(value=raw["value"], source=raw.get("source"), why=raw.get("why"), date=raw.get("date", document.value["date"]))
