"""How many rows of a labelled data set a backend answers rightly; outside every timed loop."""

import time
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

import numpy as np
from job import AccuracyJob
from measure import check_outputs

Feeds = Dict[str, np.ndarray]
Predict = Callable[[Feeds], List[np.ndarray]]
LABELS = "labels"


class NotCounted(Exception):
    """Why there is no accuracy; one sentence."""


def count_right(predict: Predict, job: AccuracyJob, *, input_order: Sequence[str], output_order: Sequence[str], batch: int,
                batchable: bool, max_s: float) -> Dict[str, Any]:
    """The cell's `accuracy`: the whole set in batches of the cell's size; the last one is filled up, its filling not counted.

    Raises:
        NotCounted: the set does not fit the outputs, or would take more than `max_s` seconds.
    """
    rows, labels = _arrays(job.inputs), _arrays(job.labels)[LABELS]
    position, count = output_order.index(job.output), len(labels)
    step = batch if batchable else 1
    right = answers = 0
    began = time.monotonic()
    for begin in range(0, count, step):
        chosen = np.arange(begin, begin + step) % count
        outputs = check_outputs(predict(_feeds(rows, input_order, chosen, batchable=batchable)))
        kept = min(step, count - begin)
        found, total = _right(outputs[position], labels[chosen], kept)
        right, answers = right + found, answers + total
        spent = time.monotonic() - began
        whole = spent * count / (begin + kept)
        if whole > max_s and begin + kept < count and begin:
            raise NotCounted("all {} rows would take {:.0f} s, and a cell may take {:g} s".format(count, whole, max_s))
    return {"metric": job.metric, "correct": right, "n": answers, "took_s": time.monotonic() - began}


def _feeds(rows: Mapping[str, np.ndarray], order: Sequence[str], chosen: np.ndarray, *, batchable: bool) -> Feeds:
    if batchable:
        return {name: np.ascontiguousarray(rows[name][chosen]) for name in order}
    return {name: np.ascontiguousarray(rows[name][chosen[0]]) for name in order}


def _right(output: np.ndarray, labels: np.ndarray, kept: int) -> Tuple[int, int]:
    """(right answers, answers) of the first `kept` rows; a row with NaN in it is wrong."""
    classes = output.shape[-1] if output.ndim else 0
    wanted = labels.reshape(-1)
    if output.dtype.kind != "f" or classes < 2 or output.size != classes * len(wanted):
        raise NotCounted("an output of shape {} and type {} holds no classes for {} labels".format(
            list(output.shape), output.dtype, len(wanted)))
    flat = output.reshape(-1, classes)
    hits = (flat.argmax(axis=1) == wanted) & ~np.isnan(flat).any(axis=1)
    counted = len(wanted) // len(labels) * kept
    return int(np.count_nonzero(hits[:counted])), counted


def _arrays(path: str) -> Dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
