"""What a cell says whose environment could not be had: the host's lack is told apart from a build that failed."""

from __future__ import annotations

from orchestrator.bench import _unprepared
from orchestrator.errors import BuildError, NoPythonError
from orchestrator.words import Status


def test_a_python_that_this_host_has_not_is_no_failure_of_the_backend_and_says_what_would_serve() -> None:
    verdict = _unprepared(NoPythonError("there is no base with Python 3.10", hint="--isolation venv runs it."), "converter: ")
    assert verdict.status is Status.IMAGE_UNAVAILABLE
    assert verdict.status.is_infrastructure  # asked of the host anew by the next run
    assert verdict.reason == "converter: there is no base with Python 3.10. --isolation venv runs it."


def test_a_build_that_fails_stays_one() -> None:
    assert _unprepared(BuildError("pip found no wheel", hint="x")).status is Status.BUILD_FAILED
