"""Which base images a user asked for: one for all, and one of its own for what needs CUDA's libraries. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from orchestrator.errors import ConfigError
from orchestrator.images.pythons import DEFAULT_PYTHON, BaseNeed, official_reference
from orchestrator.model import BaseVariant

_CUDA = "cuda="


def overlaid(under: str, over: str) -> str:
    """What `over` names, and for the rest what `under` does: the command line over the matrix. Raises ConfigError."""
    plain, cuda = (ours or theirs for ours, theirs in zip(_parts(over), _parts(under), strict=True))
    return f"{plain or BaseKind.AUTO.value}{f',{_CUDA}{cuda}' if cuda else ''}"


def _parts(text: str) -> tuple[str | None, str | None]:
    """The base for all, and the one with CUDA."""
    parts = [part.strip() for part in text.split(",")]
    cuda = [part.removeprefix(_CUDA) for part in parts if part.startswith(_CUDA)]
    plain = [part for part in parts if not part.startswith(_CUDA)]
    if len(plain) > 1 or len(cuda) > 1 or not all((*plain, *cuda)):
        raise ConfigError(f"`{text}` is no choice of base images",
                          hint="One of auto, bootstrap[:SUITE] or a reference; then, after a comma, cuda=REFERENCE.")
    return (plain[0] if plain else None), (cuda[0] if cuda else None)


class BaseKind(str, Enum):
    """Where a base is to come from."""

    AUTO = "auto"
    REGISTRY = "registry"
    BOOTSTRAP = "bootstrap"
    INTERPRETER = "interpreter"  # bootstrapped, with a Python of this machine in it


@dataclass(frozen=True, kw_only=True)
class BaseChoice:
    """What the user asked for: `auto`, `bootstrap`, a Python of this machine, an image's reference; beside it one with CUDA."""

    kind: BaseKind
    reference: str | None = None  # None: the official image of the Python that is wanted; may hold "{python}"
    suite: str | None = None  # of the bootstrapped base; None: the host's own, or a sibling that has the Python
    interpreter: Path | None = None
    cuda: str | None = None  # what rows of the variant `cuda` start from; None: there is none. May hold "{python}"

    @classmethod
    def parse(cls, text: str) -> BaseChoice:
        """`auto`, `bootstrap`, `bootstrap:<suite>`, `interpreter:<path>` or a reference like `python:{python}-slim-bookworm`.

        Behind it, or alone, after a comma: `cuda=REFERENCE`. Raises ConfigError where anything is named twice.
        """
        plain, named = _parts(text)
        word = plain or BaseKind.AUTO.value
        head, _, rest = word.partition(":")
        if word == BaseKind.AUTO.value:
            return cls(kind=BaseKind.AUTO, cuda=named)
        if head == BaseKind.BOOTSTRAP.value:
            return cls(kind=BaseKind.BOOTSTRAP, suite=rest or None, cuda=named)
        if head == BaseKind.INTERPRETER.value and rest:
            return cls(kind=BaseKind.INTERPRETER, interpreter=Path(rest).expanduser(), cuda=named)
        return cls(kind=BaseKind.REGISTRY, reference=word, cuda=named)

    def reference_for(self, need: BaseNeed) -> str:
        """The official images without `-slim` are those with a compiler and Python's headers."""
        python = need.pythons[0] if need.pythons else DEFAULT_PYTHON
        reference = (self.reference or official_reference(python)).replace("{python}", python)
        return reference.replace("-slim", "") if need.variant is BaseVariant.TOOLCHAIN else reference

    def cuda_for(self, need: BaseNeed) -> str | None:
        """The image with CUDA for the Python that is wanted; None where the user named none."""
        return self.cuda and self.cuda.replace("{python}", need.pythons[0] if need.pythons else DEFAULT_PYTHON)
