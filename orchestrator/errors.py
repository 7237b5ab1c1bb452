"""The errors a user can meet: each one sentence, a hint, and the exit code the CLI turns it into."""

from __future__ import annotations


class InfermatrixError(Exception):
    """Anything the program expected could go wrong; printed without a traceback."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(InfermatrixError):
    """What the user wrote (YAML, CLI, settings) cannot be used; names file and line where there is one."""


class ModelError(InfermatrixError):
    """A model file, its inputs or its reference cannot be used."""


class ResultError(InfermatrixError):
    """A result, record or matrix file is damaged, foreign or of an unknown version."""


class BuildError(InfermatrixError):
    """An environment (image or venv) could not be made; its cells become `build_failed`."""

    exit_code = 3


class UnavailableError(BuildError):
    """What an environment is made of cannot be had here, which says nothing of it; its cells become `image_unavailable`."""


class NoPythonError(UnavailableError):
    """No base image or interpreter here has a Python that the environment is for."""


class EngineError(InfermatrixError):
    """The container engine does not answer or refused a call."""

    exit_code = 3


class HubError(InfermatrixError):
    """A hub does not answer, or does not have the weights that were asked of it by name."""

    exit_code = 3
