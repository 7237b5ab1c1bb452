"""The facts as rows of words: one per backend, then one per system that ended (S3's table, with what it did not measure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = ("Backend", "Version, released", "Licence", "Languages", "Devices, vendors", "Model formats in", "ONNX tests, measured",
           "Precisions", "Visual and debugging aids", "Serving and deployment", "Install size, packages, import: measured",
           "Needed outside the image")


def fact_rows(facts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """`facts` as of `gather.facts_json`; what is not known is said to be so."""
    rows = [_row(str(one.get("title", name)), one) for name, one in facts.get("backends", {}).items()]
    for system in facts.get("ended", ()):
        when = f"ended {system['when']}" if system.get("when") else "ended"
        said = f"{when}: {system['what']}; replaced by {system['replaced_by']} ({system['source']})"
        rows.append((str(system["name"]), said, *("–" for _ in COLUMNS[2:])))
    return rows


def value_of(facts: Mapping[str, Any], name: str) -> str | None:
    """The value of one fact."""
    found = facts.get(name)
    value = found.get("value") if isinstance(found, Mapping) else None
    return None if value is None else str(value)


def _row(title: str, facts: Mapping[str, Any]) -> tuple[str, ...]:
    def said(*names: str, between: str = ", ") -> str:
        return between.join(value_of(facts, name) or "not known" for name in names)

    size, packages, ready = (value_of(facts, name) for name in ("size_mb", "packages", "import_ms"))
    weighs = ((size, f"{size} MB"), (packages, f"{packages} packages"), (ready, f"{ready} ms to import"))
    weighed = ", ".join(text for value, text in weighs if value)
    return (
        title, said("version", "released"), said("licence"), said("languages"), said("devices", "vendors", between="; "),
        said("formats"), value_of(facts, "onnx") or "not measured", said("precisions"), said("debugging"), said("serving"),
        weighed or "not measured", said("outside"),
    )
