"""How a batch reaches the backend: as such, or its rows one after the other.

The second is what a harness measures that loops over rows for one backend and hands the whole batch to another. It is
there to show what that does to a ranking (docs/s2-flaw.md); a cell that is fed so says so, and is never compared with one
that is not.
"""

from typing import List

import numpy as np
from job import CellJob
from measure import Feeds, Predict, check_outputs


def fed(predict: Predict, cell: CellJob) -> Predict:
    """`predict` as the cell's option `feeding` wants it called."""
    return row_by_row(predict) if cell.options.get("feeding") == "rows" else predict


def row_by_row(predict: Predict) -> Predict:
    """One call per row; answers are copied at once, for a backend may reuse its buffer, and joined to a batch's."""
    def loop(inputs: Feeds) -> List[np.ndarray]:
        rows = min(len(part) for part in inputs.values())
        found = []
        for row in range(rows):
            outputs = predict({name: part[row:row + 1] for name, part in inputs.items()})
            found.append([np.array(output) for output in check_outputs(outputs)])
        return [np.concatenate(parts) for parts in zip(*found)]  # noqa: B905 - of Python 3.10

    return loop
