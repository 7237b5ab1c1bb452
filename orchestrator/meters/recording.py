"""NVML's answers, written down on a machine that has a GPU and given again where there is none.

`Recorder` wraps the module `pynvml`, passes every call on and keeps what came back; `Replay` gives the same answers at the
same times of a clock that the caller moves. What a recording says of where it comes from (`source`) is shown wherever it is
used: a file made by hand is not a recording.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SCHEMA = "infermatrix.nvml-recording/1"
RECORDED, BY_HAND = "recorded", "made by hand after NVML's documentation, not recorded"
_STRUCTS = ("total", "free", "used", "gpu", "memory", "pid", "usedGpuMemory")  # fields of the structures that are asked for


class Recorder:
    """Stands in for `library`; `answers` grows by `[seconds, function, arguments, answer]` with every call."""

    def __init__(self, library: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self.NVMLError = library.NVMLError
        self.answers: list[list[Any]] = []
        self._library = library
        self._clock = clock
        self._began = clock()
        self._handles: dict[int, str] = {}  # by identity; the object is kept alive by `_kept`
        self._kept: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._library, name)  # what this binding lacks is missing in the recording too
        if not name.startswith("nvml"):
            return function

        def call(*arguments: Any) -> Any:
            at = round(self._clock() - self._began, 6)
            plain = [self._handles.get(id(part), part) for part in arguments]
            try:
                answer = function(*arguments)
            except self.NVMLError as error:
                self.answers.append([at, name, plain, {"error": error.value, "text": str(error)}])
                raise
            self.answers.append([at, name, plain, {"value": self._plain(name, plain, answer)}])
            return answer

        return call

    def save(self, path: Path, **about: Any) -> None:
        """Write it: one answer a line, so that a recording can be read and compared."""
        lines = ",\n  ".join(json.dumps(answer) for answer in self.answers)
        head = json.dumps({"schema": SCHEMA, "source": RECORDED, **about})[:-1]
        path.write_text(f'{head}, "answers": [\n  {lines}\n]}}\n')

    def _plain(self, name: str, arguments: list[Any], answer: Any) -> Any:
        if name.startswith("nvmlDeviceGetHandle"):
            self._kept.append(answer)
            self._handles[id(answer)] = f"handle {arguments[0]}"
            return self._handles[id(answer)]
        if isinstance(answer, list):
            return [self._plain(name, arguments, part) for part in answer]
        if answer is None or isinstance(answer, (str, int, float)):
            return answer
        return {field: getattr(answer, field) for field in _STRUCTS if hasattr(answer, field)}


class ReplayError(Exception):
    """NVML's refusal, as it was recorded; `value` is its code."""

    def __init__(self, value: int, text: str) -> None:
        super().__init__(text)
        self.value = value


class Replay:
    """Answers as the recording did: each call gets what the same call had got last at that time, or first of all later.

    Raises:
        AttributeError: the recording has no call of that name: the binding lacked it, or nobody asked.
    """

    NVMLError = ReplayError

    def __init__(self, recording: dict[str, Any], clock: Callable[[], float]) -> None:
        if recording.get("schema") != SCHEMA:
            raise ValueError(f"no recording of NVML's answers: schema is {recording.get('schema')!r}")
        self.source = str(recording["source"])
        self._clock = clock
        self._answers: dict[str, list[tuple[float, dict[str, Any]]]] = {}
        self._names = {name for _, name, _, _ in recording["answers"]}
        for at, name, arguments, answer in recording["answers"]:
            self._answers.setdefault(_key(name, arguments), []).append((float(at), answer))

    @classmethod
    def load(cls, path: Path, clock: Callable[[], float]) -> Replay:
        """From a file that `Recorder.save` wrote, or that has the same form."""
        return cls(json.loads(path.read_text()), clock)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._names:
            raise AttributeError(name)

        def call(*arguments: Any) -> Any:
            known = self._answers.get(_key(name, list(arguments)))
            if known is None:
                raise ReplayError(2, f"the recording holds no {name}{arguments}")
            said = [answer for at, answer in known if at <= self._clock()] or [known[0][1]]
            answer = said[-1]
            if "error" in answer:
                raise ReplayError(int(answer["error"]), str(answer.get("text", "")))
            return _struct(answer["value"])

        return call


def _key(name: str, arguments: list[Any]) -> str:
    return json.dumps([name, arguments])


def _struct(value: Any) -> Any:
    if isinstance(value, list):
        return [_struct(part) for part in value]
    return SimpleNamespace(**value) if isinstance(value, dict) else value
