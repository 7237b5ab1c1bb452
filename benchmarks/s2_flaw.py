"""What feeding one backend row by row does to a ranking: two tables from one run of matrices/s2-flaw.yaml.

    infermatrix run --config matrices/s2-flaw.yaml --out results/s2-flaw
    python -m benchmarks.s2_flaw results/s2-flaw/matrix.json

The first table is the ranking that comes of it when times are put side by side although the backends were fed differently;
the second has every backend given the batch, with what the matrix's own comparisons decide.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Cell = Mapping[str, Any]


def fed_by_rows(cell: Cell) -> bool:
    """Whether its batch was fed one row at a time."""
    return (cell.get("options") or {}).get("feeding") == "rows"


def as_published(cells: Sequence[Cell]) -> list[Cell]:
    """For each backend the one cell of the flawed chart: by rows where the matrix has that, else the batch; fastest first."""
    chosen: dict[str, Cell] = {}
    for cell in cells:
        if fed_by_rows(cell) or cell["label"] not in chosen:
            chosen[cell["label"]] = cell
    return sorted(chosen.values(), key=_p50)


def alike(cells: Sequence[Cell]) -> list[Cell]:
    """The cells that were given the batch, fastest first."""
    return sorted((cell for cell in cells if not fed_by_rows(cell)), key=_p50)


def table(cells: Sequence[Cell], batch: int) -> list[str]:
    """Markdown: latency of the batch, per row, and against the first."""
    lines = ["| backend | how it was fed | one batch | one row | × the first |", "| --- | --- | ---: | ---: | ---: |"]
    first = _p50(cells[0])
    for cell in cells:
        p50 = _p50(cell)
        how = f"{batch:,} calls of one row" if fed_by_rows(cell) else f"one call of {batch:,} rows"
        figures = f"{p50:.3g} ms{_interval(cell)} | {1e3 * p50 / batch:.3g} µs | {p50 / first:.3g}"
        lines.append(f"| {cell['label']} | {how} | {figures} |")
    return lines


def decisions(matrix: Mapping[str, Any], cells: Sequence[Cell]) -> list[str]:
    """What the matrix's comparisons say of these cells."""
    names = {cell["id"]: cell["label"] for cell in cells}
    lines = []
    for one in matrix["comparisons"]:
        if one["a"] in names and one["b"] in names:
            faster = names.get(one["faster"] or "")
            found = f"{faster} is faster" if faster else "not decided"
            ratio = "" if one["ratio"] is None else f"ratio {one['ratio']:.3g}; "
            lines.append(f"- {names[one['a']]} and {names[one['b']]}: {found} ({ratio}{one['why']})")
    return lines


def _p50(cell: Cell) -> float:
    found = cell["metrics"]["latency_ms"]["p50"]
    return float("inf") if found is None else float(found)


def _interval(cell: Cell) -> str:
    ends = cell["metrics"]["latency_ms"]["ci95"]
    return "" if ends is None else f" ({ends[0]:.3g}–{ends[1]:.3g})"


def main() -> int:
    """Prints both tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("matrix", type=Path, help="matrix.json of a run of matrices/s2-flaw.yaml")
    matrix = json.loads(parser.parse_args().matrix.read_text())
    cells = matrix["cells"]
    batch = int(cells[0]["batch"])
    print("### Fed as in the article", "", *table(as_published(cells), batch), sep="\n")
    right = alike(cells)
    print("", "### Every backend given the batch", "", *table(right, batch), "", *decisions(matrix, right), sep="\n")
    by_rows = {cell["id"]: fed_by_rows(cell) for cell in cells}
    mixed = [one for one in matrix["comparisons"] if by_rows[one["a"]] != by_rows[one["b"]]]
    print("", f"Comparisons between cells that were fed differently: {len(mixed)}.", sep="\n")
    return 1 if mixed else 0


if __name__ == "__main__":
    raise SystemExit(main())
