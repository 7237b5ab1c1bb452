"""What a reader of a conformance document needs; apart from what makes one, so that reading needs no onnx."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

SCHEMA = "infermatrix.conformance/1"
VERDICTS = ("all", "some", "none", "not_asked")


def score(document: Mapping[str, Any]) -> str:
    """ "1,402 of 1,781 tests; 150 of 190 operators wholly, 20 in part": the fact for a table."""
    counts, domains = document["counts"], document["domains"]
    verdicts = Counter({name: sum(domain[name] for domain in domains.values()) for name in VERDICTS})
    known = verdicts["all"] + verdicts["some"] + verdicts["none"]
    return (f"{counts.get('passed', 0):,} of {document['asked']:,} tests; "
            f"{verdicts['all']} of {known} operators wholly, {verdicts['some']} in part")


def is_complete(document: Mapping[str, Any]) -> bool:
    """Whether every test that could be put to the backend has an outcome of its own."""
    return not document["counts"].get("not_run") and document.get("failure") is None
