"""What the model of a run says of itself."""

from __future__ import annotations

from pathlib import Path

from orchestrator.model import IsolationKind, ReadyEnv


def test_a_published_environment_does_not_name_the_home_folder() -> None:
    def shown(reference: str) -> str:
        return ReadyEnv(name="e", kind=IsolationKind.VENV, reference=reference, digest="0", installed="1", python="python",
                        size_mb=None, packages=None, prepare_s=0.0, source="given").shown

    home = Path.home()
    assert shown(f"{home}/.cache/venvs/e") == "~/.cache/venvs/e"
    assert shown(f"{home}er/venvs/e") == f"{home}er/venvs/e"
    assert shown("sha256:12") == "sha256:12"
