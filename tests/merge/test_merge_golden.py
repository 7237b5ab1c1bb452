"""One fixed set of records and the matrix that came of it: work on speed must not move a figure.

Written anew, after a change that is meant to move one: `python -m tests.merge.test_merge_golden`.
"""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

from benchmarks import records as madeup
from orchestrator.merge.matrix import merge

GOLDEN = Path(__file__).parent / "golden" / "matrix.json.gz"
PLACES = 1e-10  # what another CPU's order of adding up may change


def odd_records() -> tuple[list[Any], list[dict[str, Any]]]:
    """A model's worth of ordinary records, made odd in all ways that the merge tells apart."""
    planned = madeup.cells(1)
    found = list(madeup.records(planned))
    by_cell = {cell.id: [r for r in found if r["cell"]["id"] == cell.id and r["measurement"]] for cell in planned}
    wrong, few, long, detailed, none, doubtful, moved, wild, old, retried = list(by_cell.values())[:10]
    wrong[0]["measurement"]["fidelity"].update(rel_l2=0.5)
    for record in few[2:]:
        found.remove(record)
    rising = [1_000_000 + 7 * (n * n % 10_007) for n in range(7_000)]
    for record in long[1:]:
        record["measurement"]["samples"] = madeup.pack(rising[record["trial"]["index"]:])
    for record in detailed:
        details = {"achieved": {"ips": 100.0 + record["trial"]["index"]}, "word": "x"}
        record["measurement"].update(details=details, headline_ms=3.5)
    for record in none:
        record.update(status="crashed", reason="killed by signal 11", phase="load", result=None, measurement=None)
    doubtful[0]["result"]["probes"]["end"]["core_to_core_ns"] = 900.0
    moved[1]["result"]["environment"].update(steal_ticks=90)
    moved[2]["measurement"]["samples"]["data"] = "not base64"
    wild[3]["measurement"]["samples"] = madeup.pack([9_000_000 + n for n in range(40)])
    stale = [{**record, "key": "0" * 12, "started": "2025-01-01"} for record in old]
    again = [{**record, "trial": {**record["trial"], "attempt": 1}, "started": "2026-01-02"} for record in retried[:2]]
    anchors = [
        {**record, "trial": {**record["trial"], "anchor": True, "anchor_at": at, "spec": "t-anchor"}, "started": at}
        for at, record in zip(("start", "middle", "end"), by_cell[planned[10].id], strict=False)
    ]
    return [*planned, madeup.cells(2)[-1]], [*found, *stale, *again, *anchors]


def merged() -> dict[str, Any]:
    planned, records = odd_records()
    return merge({"id": "golden"}, records, planned, asked=madeup.TRIALS)


def differences(found: Any, wanted: Any, where: str = "matrix") -> list[str]:
    """Where two documents differ: floats by more than PLACES, anything else at all."""
    if isinstance(found, float) and isinstance(wanted, float):
        return [] if math.isclose(found, wanted, rel_tol=PLACES, abs_tol=PLACES) else [f"{where}: {found!r}, not {wanted!r}"]
    if isinstance(found, dict) and isinstance(wanted, dict) and list(found) == list(wanted):
        return [line for key in found for line in differences(found[key], wanted[key], f"{where}.{key}")]
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        return [line for n, pair in enumerate(zip(found, wanted, strict=True)) for line in differences(*pair, f"{where}[{n}]")]
    return [] if type(found) is type(wanted) and found == wanted else [f"{where}: {str(found)[:200]}, not {str(wanted)[:200]}"]


def test_the_same_records_give_the_same_matrix_to_the_last_figure() -> None:
    found = json.loads(json.dumps(merged()))
    assert differences(found, json.loads(gzip.decompress(GOLDEN.read_bytes()))) == []


def test_the_fixed_records_are_odd_enough_to_show_a_change() -> None:
    found = merged()
    assert {cell["status"] for cell in found["cells"]} >= {"ok", "wrong_answer", "crashed", "not_run"}
    assert len(found["hosts"][0]["states"]) == 2
    assert len(found["warnings"]) >= 3
    assert {comparison["decided"] for comparison in found["comparisons"]} == {True, False}
    reasons = " ".join(invalid["reason"] for cell in found["cells"] for invalid in cell["trials"]["invalid"])
    for word in ("state changed", "steal", "unpacked", "machine state"):
        assert word in reasons


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_bytes(gzip.compress(json.dumps(merged()).encode(), mtime=0))
