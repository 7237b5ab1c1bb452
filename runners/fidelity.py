"""How far the outputs of the measured run are from the reference, in double precision."""

import math
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

BLOCK = 1 << 20  # elements compared at a time: bounds the memory that the comparison takes
MAX_DETAILS = 32
TOP = (1, 5)
MIN_CLASSES = 2  # of a last dimension in which a winner can be told


@dataclass
class Winners:
    """Per row of (n, classes): which class is the largest, and which five are (None of five classes or fewer)."""

    first: np.ndarray
    five: Optional[np.ndarray]

    @staticmethod
    def of(values: np.ndarray) -> "Winners":
        five = np.argpartition(values, -5, axis=1)[:, -5:] if values.shape[1] > 5 else None
        return Winners(values.argmax(axis=1), five)


@dataclass
class Tally:
    """Running sums over all compared elements of one output."""

    name: str
    max_abs: float = 0.0
    difference: float = 0.0  # sum of squares
    reference: float = 0.0
    output: float = 0.0
    product: float = 0.0
    compared: int = 0  # finite pairs of numbers
    nan: int = 0
    inf: int = 0
    exact: int = 0  # elements of integer or boolean outputs
    mismatches: int = 0
    top: Dict[int, List[int]] = field(default_factory=lambda: {k: [0, 0] for k in TOP})  # k -> [agreeing, all]
    # Of the reference's samples seen so far, by row: each is compared once per batch that holds it.
    winners: Dict[int, Winners] = field(default_factory=dict)

    def report(self) -> Dict[str, Any]:
        """The measures of this output; None where there is nothing to measure."""
        norms = math.sqrt(self.reference), math.sqrt(self.output)
        numbers = self.compared > 0
        cosine: Optional[float] = None
        if numbers:
            if norms[0] > 0 and norms[1] > 0:
                cosine = max(-1.0, min(1.0, self.product / (norms[0] * norms[1])))
            else:
                cosine = 1.0 if norms[0] == norms[1] else 0.0
        rel_l2: Optional[float] = None
        if numbers and (norms[0] > 0 or self.difference == 0):
            rel_l2 = math.sqrt(self.difference) / norms[0] if self.difference else 0.0
        return {
            "max_abs": self.max_abs if numbers else None, "rel_l2": rel_l2, "cosine": cosine,
            "topk_agreement": _share(*self.top[1]), "top5_agreement": _share(*self.top[5]),
            "mismatch_fraction": _share(self.mismatches, self.exact), "nan": self.nan, "inf": self.inf,
        }


class Comparison:
    """Compares outputs with reference rows, batch by batch; `result()` takes the worst over outputs."""

    def __init__(self, reference: Mapping[str, np.ndarray], names: Sequence[str]) -> None:
        self._reference = reference
        self._tallies = [Tally(name) for name in names]
        self._rows: set = set()
        self._problem: Optional[str] = None

    def add(self, outputs: Sequence[np.ndarray], rows: np.ndarray, *, batched: bool) -> None:
        """One inference: `rows` are the samples it was given; unbatched outputs lack the leading dimension."""
        if len(outputs) != len(self._tallies):
            self._say("{} outputs where the model has {}".format(len(outputs), len(self._tallies)))
            return
        for number, tally in enumerate(self._tallies):
            output = outputs[number]
            whole = self._reference.get(tally.name)
            if whole is None:
                self._say("there is no reference for output {!r}".format(tally.name))
                return
            expected = (len(rows), *whole.shape[1:]) if batched else whole.shape[1:]
            if tuple(output.shape) != tuple(expected):
                self._say("output {!r} has shape {} where the reference has {}".format(
                    tally.name, list(output.shape), list(expected)))
                return
            _compare(tally, output if batched else output[np.newaxis], whole, rows)
        self._rows.update(int(row) for row in rows)

    def result(self) -> Dict[str, Any]:
        """The cell's `fidelity`: `checked` counts distinct samples, and is 0 where a `problem` kept from comparing."""
        if self._problem is not None or not self._rows:
            empty: Dict[str, Any] = dict.fromkeys(
                ("max_abs", "rel_l2", "cosine", "topk_agreement", "top5_agreement", "mismatch_fraction", "nan", "inf"))
            return {**empty, "checked": 0, "problem": self._problem or "no outputs were kept", "outputs": []}
        each = [tally.report() for tally in self._tallies]
        worst: Dict[str, Any] = {}
        for key in ("max_abs", "rel_l2", "mismatch_fraction"):
            worst[key] = max((one[key] for one in each if one[key] is not None), default=None)
        for key in ("cosine", "topk_agreement", "top5_agreement"):
            worst[key] = min((one[key] for one in each if one[key] is not None), default=None)
        worst.update(nan=sum(one["nan"] for one in each), inf=sum(one["inf"] for one in each))
        details = [{"name": tally.name, **each[number]} for number, tally in enumerate(self._tallies)]
        return {**worst, "checked": len(self._rows), "problem": None, "outputs": details[:MAX_DETAILS]}

    def _say(self, problem: str) -> None:
        self._problem = self._problem or problem


def _compare(tally: Tally, output: np.ndarray, whole: np.ndarray, rows: np.ndarray) -> None:
    """Adds one output to the tally; a block of rows at a time."""
    per_row = max(1, int(np.prod(whole.shape[1:], dtype=np.int64)))
    step = max(1, BLOCK // per_row)
    for begin in range(0, len(rows), step):
        mine, wanted = output[begin:begin + step], whole[rows[begin:begin + step]]
        if wanted.dtype.kind in "fc":
            _numbers(tally, mine, wanted, rows[begin:begin + step])
        else:
            tally.exact += wanted.size
            unequal = np.asarray(mine != wanted)  # one value only, where the types cannot be compared
            tally.mismatches += int(np.count_nonzero(unequal)) if unequal.shape == wanted.shape else wanted.size


def _numbers(tally: Tally, output: np.ndarray, reference: np.ndarray, rows: np.ndarray) -> None:
    wide = np.complex128 if reference.dtype.kind == "c" or output.dtype.kind == "c" else np.float64
    mine, wanted = _flat(output, wide), _flat(reference, wide)
    finite = _all_finite(tally, mine, wanted)
    if not finite:
        _with_odd(tally, mine, wanted)
    if wide is np.float64 and reference.ndim >= 2 and reference.shape[-1] >= MIN_CLASSES:
        _compare_winners(tally, *(values.reshape(len(rows), -1, reference.shape[-1]) for values in (mine, wanted)), rows,
                         finite=finite)


def _all_finite(tally: Tally, mine: np.ndarray, wanted: np.ndarray) -> bool:
    """Adds both to the tally where every number is finite, as nearly always; a sum of squares that is finite shows it."""
    if not mine.size:
        return True
    with np.errstate(all="ignore"):
        output, reference = float(mine @ mine), float(wanted @ wanted)
        if not (math.isfinite(output) and math.isfinite(reference)):
            return False
        difference = mine - wanted
        squares = float(difference @ difference)
        if not math.isfinite(squares):
            return False
    tally.max_abs = max(tally.max_abs, float(difference.max()), -float(difference.min()))
    tally.difference += squares
    tally.reference += reference
    tally.output += output
    tally.product += float(mine @ wanted)
    tally.compared += int(mine.size)
    return True


def _with_odd(tally: Tally, mine: np.ndarray, wanted: np.ndarray) -> None:
    same = mine == wanted  # true for infinities of one sign
    odd = np.isnan(mine) & ~np.isnan(wanted)
    endless = np.isinf(mine) & ~same & ~np.isnan(wanted)
    tally.nan += int(np.count_nonzero(odd))
    tally.inf += int(np.count_nonzero(endless))
    finite = np.isfinite(mine) & np.isfinite(wanted)
    a, b = (mine, wanted) if finite.all() else (mine[finite], wanted[finite])
    if a.size:
        difference = a - b
        tally.max_abs = max(tally.max_abs, float(np.abs(difference).max()))
        tally.difference += float(difference @ difference)
        tally.reference += float(b @ b)
        tally.output += float(a @ a)
        tally.product += float(a @ b)
        tally.compared += int(a.size)


def _flat(values: np.ndarray, wide: Any) -> np.ndarray:
    """As one row of doubles; a complex number counts as two."""
    return np.ascontiguousarray(values).astype(wide, copy=False).reshape(-1).view(np.float64)


def _compare_winners(tally: Tally, output: np.ndarray, reference: np.ndarray, rows: np.ndarray, *, finite: bool) -> None:
    """The largest of the last dimension, and the five largest; both of shape (rows, …, classes). NaN has no place in either."""
    for number, row in enumerate(rows.tolist()):
        if row not in tally.winners:
            tally.winners[row] = Winners.of(reference[number])
    wanted = [tally.winners[row] for row in rows.tolist()]
    usable = slice(None) if finite else ~(np.isnan(output) | np.isnan(reference)).any(axis=-1).reshape(-1)
    mine = Winners.of(output.reshape(-1, output.shape[-1]))
    first = mine.first[usable] == np.concatenate([one.first for one in wanted])[usable]
    tally.top[1][0] += int(np.count_nonzero(first))
    tally.top[1][1] += len(first)
    if mine.five is not None and len(first):
        five = np.concatenate([one.five for one in wanted])[usable]  # type: ignore[misc]
        tally.top[5][0] += int((mine.five[usable][:, :, None] == five[:, None, :]).sum())
        tally.top[5][1] += 5 * len(first)


def _share(part: int, whole: int) -> Optional[float]:
    return part / whole if whole else None
