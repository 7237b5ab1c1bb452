"""Does the program call equal things equal, and find planted slowdowns? Counted on this machine, with real backends.

    python -m benchmarks.honesty aa    [--runs 9 --copies 4]          A/A: the same backend under several names
    python -m benchmarks.honesty power [--runs 10 --percents 2,5,10,20] beside copies of itself that are slower by so much
    python -m benchmarks.honesty single RUN_FOLDER…                  what one run of each would have claimed on the same records

Each run is a fresh `infermatrix run` of its own, with the decision rule as users get it. `--keep DIR` keeps the run folders
for `single`. A slowdown of 2 % is not beyond the minimum effect of 2 %: calling it a winner would be a mistake there, so it
must come out undecided.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.programrun import Setup, labels, measure, share
from benchmarks.singlerun import report_single

REAL = "real"


def main() -> None:
    """Print a line per run and a summary; exit code 1 where a winner was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("experiment", choices=["aa", "power", "single"])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--percents", default="2,5,10,20")
    parser.add_argument("--isolation", default="auto")
    parser.add_argument("--models", default="spam, mobilenet_v2")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    if options.experiment == "single":
        report_single(options.folders)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folders = ((options.keep or Path(scratch)) / f"{options.experiment}-{number + 1}" for number in range(options.runs))
        setup = Setup(models=options.models, isolation=options.isolation, trials=options.trials)
        if options.experiment == "aa":
            wrong = equals(folders, options.copies, setup)
        else:
            wrong = slowdowns(folders, [float(text) for text in options.percents.split(",")], setup)
    sys.exit(1 if wrong else 0)


def equals(folders: Iterator[Path], copies: int, setup: Setup) -> int:
    """A/A; the number of false winners."""
    rows = [f"{{label: copy{number + 1}, backend: onnxruntime}}" for number in range(copies)]
    counts: Counter[str] = Counter()
    for folder in folders:
        found = Counter(_kind(comparison) for comparison in measure(folder, "aa", rows, setup)["comparisons"])
        counts.update(found)
        print(f"{folder.name}: {dict(found)}", flush=True)
    judged = sum(counts.values()) - counts["too few pairs"]
    print(f"A/A: false winners {share(counts['decided'], judged)}; too few pairs to judge: {counts['too few pairs']}")
    return counts["decided"]


def slowdowns(folders: Iterator[Path], percents: list[float], setup: Setup) -> int:
    """The power curve; the number of winners that were wrong."""
    rows = [f"{{label: {REAL}, backend: onnxruntime}}"]
    rows += [f"{{label: slow{percent:g}, backend: slower, settings: {{percent: {percent:g}}}}}" for percent in percents]
    counts: dict[float, Counter[str]] = {percent: Counter() for percent in percents}
    for folder in folders:
        matrix = measure(folder, "power", rows, setup)
        names = labels(matrix)
        for comparison in matrix["comparisons"]:
            pair = {names[comparison["a"]], names[comparison["b"]]}
            if REAL not in pair:
                continue
            percent = float((pair - {REAL}).pop().removeprefix("slow"))
            kind = _kind(comparison)
            if kind == "decided":
                kind = "right" if names[str(comparison["faster"])] == REAL else "wrong"
            counts[percent][kind] += 1
        print(f"{folder.name}: {({f'{percent:g} %': dict(found) for percent, found in counts.items()})} so far", flush=True)
    for percent, found in counts.items():
        total = sum(found.values())
        print(f"{percent:g} % slower: found {share(found['right'], total)}; wrong direction {found['wrong']}; "
              f"undecided {total - found['right'] - found['wrong']}")
    return sum(found["wrong"] for found in counts.values())


def _kind(comparison: dict[str, Any]) -> str:
    if comparison["ci"] is None:
        return "too few pairs"
    return "decided" if comparison["decided"] else "not told apart"


if __name__ == "__main__":
    main()
