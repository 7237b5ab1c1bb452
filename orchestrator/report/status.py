"""How a status is shown and explained."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from orchestrator.model import Status
from orchestrator.report.text import one_line


class Family(Enum):
    """What kind of news a status is; decides the badge's colour and sign."""

    GOOD = "good"
    WRONG = "wrong"  # it ran, and what it gave must not be used
    FAILED = "failed"  # the backend could not
    LACKING = "lacking"  # the backend does not claim to
    SHAKY = "shaky"  # a number, but not one to rely on
    HOST = "host"  # the machine's fault, not the backend's


@dataclass(frozen=True, kw_only=True)
class StatusText:
    """A status in words."""

    name: str  # as in matrix.json
    title: str
    family: Family
    meaning: str

    @property
    def sign(self) -> str:
        """One character, so that the badge does not speak through colour alone."""
        return _SIGNS[self.family]


_SIGNS = {Family.GOOD: "✓", Family.WRONG: "≠", Family.FAILED: "✕", Family.LACKING: "∅", Family.SHAKY: "≈",
          Family.HOST: "○"}

_TEXTS: dict[Status, tuple[str, Family, str]] = {
    Status.OK: ("ok", Family.GOOD, "Measured; the outputs agree with the reference."),
    Status.UNSUPPORTED: ("unsupported", Family.LACKING,
                         "The backend has no such operator, precision, device or setting."),
    Status.CONVERT_FAILED: ("convert failed", Family.FAILED,
                            "The model could not be turned into the backend's own format."),
    Status.COMPILE_FAILED: ("compile failed", Family.FAILED, "The backend could not load or compile the model."),
    Status.WRONG_ANSWER: ("wrong answer", Family.WRONG,
                          "The outputs differ from the reference by more than the tolerance: its speed counts for "
                          "nothing and is not compared."),
    Status.FALLBACK: ("fallback", Family.WRONG, "Something else than what was asked for executed the model."),
    Status.CRASHED: ("crashed", Family.FAILED, "The process ended by itself without a valid result."),
    Status.OOM: ("out of memory", Family.FAILED, "The memory limit was reached."),
    Status.TIMEOUT: ("timeout", Family.FAILED, "Not done within the time allowed."),
    Status.TARGET_MISSED: ("target missed", Family.LACKING, "No rate of requests meets the latency target, however low."),
    Status.UNSTABLE: ("unstable", Family.SHAKY, "The trials disagree too much for an estimate to be relied on."),
    Status.BUILD_FAILED: ("build failed", Family.FAILED, "The backend's environment could not be made."),
    Status.IMAGE_UNAVAILABLE: ("image unavailable", Family.HOST, "This host has no image, base or interpreter for it."),
    Status.HOST_LOST: ("host lost", Family.HOST, "The host or its container engine went away."),
    Status.GPU_LOST: ("GPU lost", Family.HOST, "The GPU went away."),
    Status.INTERRUPTED: ("interrupted", Family.HOST, "The run was stopped; the same command again measures it."),
    Status.NOT_RUN: ("not run", Family.HOST, "Planned, but not measured."),
}


def status_text(name: object) -> StatusText:
    """The words for a status; one that this version does not know is shown under its own name as a failure."""
    try:
        status = Status(name)
    except ValueError:
        unknown = one_line(name, 40) or "no status"
        return StatusText(name=unknown, title=unknown.replace("_", " "), family=Family.FAILED,
                          meaning="A status that this version of the report does not know.")
    title, family, meaning = _TEXTS[status]
    return StatusText(name=status.value, title=title, family=family, meaning=meaning)
