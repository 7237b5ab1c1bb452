"""Models that work at the same time: each member's batches and answers, and the threads that drive members in one process."""

import threading
from typing import Any, Dict, List, Optional, Sequence

import fidelity
import measure
import numpy as np
from adapters.base import Unsupported
from cell import Bench
from job import CellJob


class Member:
    """One loaded model and the batches that it answers, by number."""

    def __init__(self, name: str, bench: Bench, cell: CellJob) -> None:
        job = bench.job
        if not job.batchable and cell.batch != job.fixed_batch:
            raise Unsupported("the model takes batches of {} only".format(job.fixed_batch))
        self.name = name
        self.bench = bench
        self.batches = measure.build_batches(bench.samples, job.input_order, cell.batch, batchable=job.batchable)
        self.capture = measure.Capture([None] * (len(self.batches.feeds) + 1))
        self._predict = bench.adapter.predict

    def answer(self, number: int) -> List[np.ndarray]:
        """One inference; its outputs are kept for the comparison with the reference."""
        outputs = self._predict(self.batches.feeds[number])
        self.capture.slots[number] = outputs
        return outputs

    def fidelity(self) -> Dict[str, Any]:
        """Of the last answers that it gave."""
        measure.secure_outputs(self._predict, self.batches, self.capture)
        comparison = fidelity.Comparison(self.bench.reference, self.bench.job.output_order)
        for number, outputs in self.capture.kept():
            comparison.add(measure.check_outputs(outputs), self.batches.rows[number], batched=self.batches.batched)
        return comparison.result()


class Threads:
    """Answers one request with all members at once: each has a thread that waits for it, the first one the caller's."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._first = members[0]
        self._others = [_Driven(member) for member in members[1:]]

    def __call__(self, number: int) -> List[np.ndarray]:
        """Returns when the last member has answered. Raises what a member raised."""
        for other in self._others:
            other.begin(number)
        try:
            self._first.answer(number)
        finally:
            for other in self._others:
                other.wait()
        for other in self._others:
            if other.error is not None:
                raise other.error
        return []

    def close(self) -> None:
        """End the threads."""
        for other in self._others:
            other.begin(-1)


class _Driven:
    """A thread between two locks: both are the interpreter's own, which cost some microseconds and no spinning."""

    def __init__(self, member: Member) -> None:
        self.error: Optional[BaseException] = None
        self._member = member
        self._number = -1
        self._go, self._done = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._done.acquire()
        threading.Thread(target=self._run, name=member.name, daemon=True).start()

    def begin(self, number: int) -> None:
        self._number = number
        self._go.release()

    def wait(self) -> None:
        self._done.acquire()

    def _run(self) -> None:
        while True:
            self._go.acquire()
            if self._number < 0:
                return
            try:
                self._member.answer(self._number)
            except BaseException as error:  # the caller's thread raises it
                self.error = error
            self._done.release()
