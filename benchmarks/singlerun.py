"""What a single run of each would have claimed, on the very records that the program was judged on.

Two habits of published benchmarks, applied to every pair of A/A rows and every single trial of each:

* one figure each: whoever has the lower median by more than the minimum effect wins;
* one figure each with an interval from within the process: the samples' 95 % bootstrap intervals of the median do not overlap.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.programrun import share
from orchestrator.merge.samples import decode_samples

MINIMUM_EFFECT = 0.02
RESAMPLES = 200
Samples = npt.NDArray[np.float64]


def report_single(folders: Sequence[Path]) -> None:
    """Print the share of false winners by either habit; `folders` are runs of `benchmarks.honesty aa`."""
    counts: Counter[str] = Counter()
    for folder in folders:
        for trials in _groups(folder).values():
            for one, other in combinations(sorted(trials), 2):
                for index in sorted(set(trials[one]) & set(trials[other])):
                    a, b = trials[one][index], trials[other][index]
                    counts["all"] += 1
                    counts["median"] += abs(float(np.log(np.median(a) / np.median(b)))) > np.log1p(MINIMUM_EFFECT)
                    counts["interval"] += not _overlap(_interval(a), _interval(b))
    print(f"one run each, lower median wins: false winners {share(counts['median'], counts['all'])}")
    print(f"one run each, intervals from within do not overlap: false winners {share(counts['interval'], counts['all'])}")


def _groups(folder: Path) -> dict[tuple[Any, ...], dict[str, dict[int, Samples]]]:
    """(model, scenario, batch) → label → round → samples; every ok trial, valid or not: one run has no peers to tell."""
    found: dict[tuple[Any, ...], dict[str, dict[int, Samples]]] = defaultdict(lambda: defaultdict(dict))
    for path in sorted((folder / "out" / "records").glob("*.json")):
        record: Mapping[str, Any] = json.loads(path.read_text())
        if record["status"] != "ok" or record["trial"]["anchor"] or record["trial"]["attempt"]:
            continue
        cell = record["cell"]
        samples = decode_samples(record["measurement"]["samples"]).astype(np.float64)
        found[cell["model"], cell["scenario"], cell["batch"]][cell["label"]][record["trial"]["round"]] = samples
    return found


def _interval(samples: Samples) -> tuple[float, float]:
    rng = np.random.default_rng(1)
    few = samples if samples.size <= 2000 else rng.choice(samples, 2000, replace=False)
    medians = np.median(rng.choice(few, (RESAMPLES, few.size)), axis=1)
    low, high = np.quantile(medians, (0.025, 0.975))
    return float(low), float(high)


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]
