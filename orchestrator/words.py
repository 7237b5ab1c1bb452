"""The closed sets of words that records and matrices use (glossary: `orchestrator/__init__.py`)."""

from __future__ import annotations

from enum import Enum


class Status(str, Enum):
    """Why a cell has, or has not, a number (design §7)."""

    OK = "ok"
    UNSUPPORTED = "unsupported"
    CONVERT_FAILED = "convert_failed"
    COMPILE_FAILED = "compile_failed"
    WRONG_ANSWER = "wrong_answer"
    FALLBACK = "fallback"
    CRASHED = "crashed"
    OOM = "oom"
    TIMEOUT = "timeout"
    TARGET_MISSED = "target_missed"
    UNSTABLE = "unstable"
    BUILD_FAILED = "build_failed"
    IMAGE_UNAVAILABLE = "image_unavailable"
    HOST_LOST = "host_lost"
    GPU_LOST = "gpu_lost"
    INTERRUPTED = "interrupted"
    NOT_RUN = "not_run"

    @property
    def is_infrastructure(self) -> bool:
        """True where the host, not the backend, is to blame: retried, and missing for resume."""
        return self in _INFRASTRUCTURE


_INFRASTRUCTURE = frozenset(
    {Status.IMAGE_UNAVAILABLE, Status.HOST_LOST, Status.GPU_LOST, Status.INTERRUPTED, Status.NOT_RUN}
)


class Scenario(str, Enum):
    """Load patterns, under MLPerf's names where it has them (design §5)."""

    SINGLE_STREAM = "single_stream"
    OFFLINE = "offline"
    MULTI_INSTANCE = "multi_instance"
    SERVER = "server"
    ENSEMBLE = "ensemble"
    COLD_START = "cold_start"

    @property
    def shares_a_load(self) -> bool:
        """Whether its cells can be measured one after the other in the process that loaded the model for another."""
        return self in (Scenario.SINGLE_STREAM, Scenario.OFFLINE)


class Compiled(str, Enum):
    """Where a trial gets from what its backend compiles (docs/compiled.md)."""

    FRESH = "fresh"  # every process compiles for itself
    KEPT = "kept"  # from the backend's own cache, which one process filled before the first trial


class IsolationKind(str, Enum):
    """How dependencies are kept apart (design §4)."""

    DOCKER = "docker"
    VENV = "venv"
    INTERPRETER = "interpreter"


class BaseVariant(str, Enum):
    """What a base image holds beside Python: nothing, a C++ toolchain with Python's headers, or CUDA's libraries."""

    SLIM = "slim"
    TOOLCHAIN = "toolchain"
    CUDA = "cuda"  # named by whoever runs it, never made here

    @property
    def is_made_here(self) -> bool:
        """Whether it can be bootstrapped, and an official image of Python serves."""
        return self is not BaseVariant.CUDA


class Phase(str, Enum):
    """Where in its life a trial was when something happened."""

    BUILD = "build"
    START = "start"
    IMPORT = "import"
    CONVERT = "convert"
    LOAD = "load"
    COMPILE = "compile"
    WARMUP = "warmup"
    MEASURE = "measure"
    VERIFY = "verify"


class Ending(str, Enum):
    """How a sandboxed process ended, before anyone looked at its result."""

    EXITED = "exited"
    DEADLINE = "deadline"
    INTERRUPTED = "interrupted"
    LOST = "lost"  # the engine or the host went away
