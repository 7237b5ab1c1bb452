"""The dynamic batcher and the one thread that serves: requests wait for others, but not longer than the maximum delay."""

import threading
import time
from collections import Counter, deque
from typing import Any, Callable, Deque, List, Optional, Sequence, Tuple

import numpy as np
from measure import Feeds, Predict, check_outputs

Request = Tuple[int, int]  # LoadGen's id of the request, and which sample it asks for


class Batcher:
    """Batches of at most `largest` requests; one is ready when it is full, or when its first has waited `delay_s`."""

    def __init__(self, largest: int, delay_s: float) -> None:
        self._largest = largest
        self._delay_s = delay_s
        self._waiting: Deque[Tuple[float, Request]] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, requests: Sequence[Request]) -> None:
        """Never blocks for long, never raises: LoadGen's own thread calls it."""
        now = time.monotonic()
        with self._changed:
            idle = not self._waiting
            self._waiting.extend((now, request) for request in requests)
            # Only what changes the taker's mind wakes it: the first request, and the one that fills the batch.
            if idle or len(self._waiting) >= self._largest:
                self._changed.notify()

    def take(self) -> Optional[List[Request]]:
        """The next batch; waits for it. None after `close`, once nothing waits."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if not self._waiting:
                return None
            ready = self._waiting[0][0] + self._delay_s
            while len(self._waiting) < self._largest and not self._closed:
                left = ready - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            count = min(self._largest, len(self._waiting))
            return [self._waiting.popleft()[1] for _ in range(count)]

    def close(self) -> None:
        """What waits is still taken."""
        with self._changed:
            self._closed = True
            self._changed.notify()


class Rows:
    """Builds the feeds of a batch from the samples it asks for."""

    def __init__(self, samples: Feeds, order: Sequence[str], *, batchable: bool) -> None:
        self._samples = {name: np.ascontiguousarray(samples[name]) for name in order}
        self.batchable = batchable
        self.count = min((len(part) for part in self._samples.values()), default=1)

    def feeds(self, rows: Sequence[int]) -> Feeds:
        """A fresh C-contiguous copy, as a server assembles one; not batchable: the one sample itself."""
        if not self.batchable:
            return {name: part[rows[0]] for name, part in self._samples.items()}
        return {name: part[list(rows)] for name, part in self._samples.items()}


class Worker:
    """Serves batches until the batcher is closed. A failing backend is noted in `error`; what comes after is answered at once.

    LoadGen waits for ever for a request that is not answered, so every one is, whatever happens.
    """

    def __init__(self, batcher: Batcher, predict: Predict, rows: Rows, answer: Callable[[Sequence[int]], None]) -> None:
        self._batcher = batcher
        self._predict = predict
        self._rows = rows
        self._answer = answer
        self._seen: "set[int]" = set()
        self.sizes: "Counter[int]" = Counter()
        self.kept: List[Tuple[np.ndarray, List[np.ndarray]]] = []  # (which samples, outputs): each sample at least once
        self.error: Optional[BaseException] = None
        self._thread = threading.Thread(target=self._serve, name="infermatrix-server", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Waits until everything taken is answered."""
        self._batcher.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            batch = self._batcher.take()
            if batch is None:
                return
            outputs: Any = None
            rows = [row for _, row in batch]
            if self.error is None:
                try:
                    outputs = self._predict(self._rows.feeds(rows))
                except BaseException as error:
                    self.error = error
            self._answer([number for number, _ in batch])
            self.sizes[len(batch)] += 1
            if outputs is not None:
                self._keep(rows, outputs)

    def _keep(self, rows: List[int], outputs: Any) -> None:
        """Copies, for backends reuse buffers; after the answer, so that no latency holds them."""
        if self._seen.issuperset(rows):
            return
        self._seen.update(rows)
        try:
            self.kept.append((np.array(rows), [np.array(output) for output in check_outputs(outputs)]))
        except Exception as error:
            self.error = error
