"""One member of an ensemble in a process of its own: measured alone when told to, then one inference per request.

Its channel brings lines first (`alone`), then requests of two bytes: the number of a batch, or `MARK`, between which and the
next one resources are counted. Inputs are its own and outputs stay here: what is measured is sharing a machine, not a transport.
"""

import gc
import json
import socket
import struct
from typing import Any, Dict

import trial
from adapters.base import Fallback
from failures import Broken, Terminated, cell_status
from gate import affinity
from job import CellJob
from meters import PeakMeter, Usage, used
from together import Member

REQUEST = struct.Struct("<H")
MARK = 0xFFFF


class Trial(trial.Trial):
    """Adds `together` to the result: what this member used and gave while all members worked."""

    def _measure(self, import_began: float, cache: str) -> None:
        self._prepare(import_began, cache)
        assert self._bench is not None
        assert self._job.gate is not None
        channel = socket.socket(fileno=self._job.gate.channel)
        (cell,) = self._job.cells
        _say(channel, {"affinity": affinity()})
        if channel.recv(64) != b"alone\n":
            raise Terminated
        try:
            alone = self._cell(cell)
        except Fallback as error:
            raise Broken("verify", error) from None
        self.result["cells"].append(alone)
        self.save()
        if alone["status"] != "ok":
            return  # the end of the channel says so
        member = Member(self._job.model_name, self._bench, cell)
        _say(channel, {"batches": len(member.batches.feeds), "alone": alone["status"]})
        self._serve(channel, member, cell)

    def _serve(self, channel: socket.socket, member: Member, cell: CellJob) -> None:
        """Until the channel ends; an error ends this process, which is how the starter learns of it."""
        peak = PeakMeter()
        peak.reset()
        marks = []
        gc.collect()
        gc.disable()
        receive, send, size = channel.recv, channel.send, REQUEST.size
        try:
            while True:
                request = receive(size)
                if len(request) < size:
                    break
                (number,) = REQUEST.unpack(request)
                if number == MARK:
                    marks.append(Usage.now(self._cgroup))
                else:
                    member.answer(number)
                send(b"k")
        except Exception as error:
            status, reason = cell_status(error)
            self.result["cells"][0].update(status=status, reason=reason, phase="measure")
            return
        finally:
            gc.enable()
        self._events.emit("verify", cell.id)
        found: Dict[str, Any] = {"process_peak_mb": peak.peak_mb(), "fidelity": member.fidelity()}
        found["reused"] = member.capture.reused
        if len(marks) == 2:
            found.update(used(marks[0], marks[1], self.reasons))
        self.result["together"] = found


def _say(channel: socket.socket, what: Dict[str, Any]) -> None:
    channel.sendall(json.dumps(what).encode() + b"\n")
