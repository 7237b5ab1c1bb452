"""Turns an environment into the text of a Dockerfile and the files beside it. Pure: no engine, no disk, no clock."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import jinja2

from orchestrator.images.lockfile import Lock
from orchestrator.images.pythons import hashes_bytecode, pip_installs_elsewhere
from orchestrator.images.runnerfiles import runner_digest
from orchestrator.model import BaseVariant, EnvSpec, digest

OWNER = "infermatrix"  # what `io.infermatrix.owner` says on everything that is ours
PYTHON_INSIDE = "/opt/env/bin/python"
RUNNER_INSIDE = "/opt/infermatrix/runners"


@dataclass(frozen=True, kw_only=True)
class BaseImage:
    """What every stage starts from."""

    variant: BaseVariant
    reference: str  # what FROM says: name@sha256:…, or a tag of this engine's own
    digest: str  # of the registry's manifest, or of the layers where the image was made here
    python: str  # "3.11"
    source: str  # registry | bootstrapped | local | unresolved


@dataclass(frozen=True, kw_only=True)
class ImagePlan:
    """Everything that an image is made of."""

    env: EnvSpec
    base: BaseImage
    lock: Lock
    runner: Mapping[str, bytes]  # path below runners/ -> content
    template: str  # the text of images/Dockerfile.j2
    revision: str = "unknown"  # of this project's source; a label only
    version: str = "unknown"  # of this project; a label only

    @property
    def content_key(self) -> str:
        """SHA-256 over all that decides what the image does: template, lock, runner, base (and not who built it when)."""
        return digest({**self._installed, "runner": runner_digest(self.runner)})

    @property
    def installed_key(self) -> str:
        """SHA-256 over the same without the runner."""
        return digest(self._installed)

    @property
    def _installed(self) -> dict[str, str]:
        return {
            "env": self.env.name,
            "template": self.template,
            "lock": self.lock.digest,
            "python": self.lock.python,
            "base": self.base.digest,
        }

    @property
    def tag(self) -> str:
        """`infermatrix/<name>:<first 12 digits of the content key>`."""
        return f"infermatrix/{slug(self.env.name)}:{self.content_key[:12]}"


def slug(env_name: str) -> str:
    """An environment's name as a part of an image's or a folder's name: `ncnn/converter` → `ncnn-converter`."""
    return "-".join(part.strip("_.-") for part in PurePosixPath(env_name.lower()).parts)


def labels(plan: ImagePlan) -> dict[str, str]:
    """The image's labels, OCI's own and ours."""
    backend_version = plan.lock.version_of(plan.env.version_of) if plan.env.version_of else None
    return {
        "org.opencontainers.image.title": f"infermatrix {plan.env.name}",
        "org.opencontainers.image.description": f"Packages of {plan.env.name} and Infermatrix's runner",
        "org.opencontainers.image.version": backend_version or plan.version,
        "org.opencontainers.image.revision": plan.revision,
        "org.opencontainers.image.base.name": plan.base.reference.split("@")[0],
        "org.opencontainers.image.base.digest": plan.base.digest,
        "io.infermatrix.owner": OWNER,
        "io.infermatrix.version": plan.version,
        "io.infermatrix.env": plan.env.name,
        "io.infermatrix.python": plan.lock.python,
        "io.infermatrix.lock": plan.lock.digest,
        "io.infermatrix.runner": runner_digest(plan.runner),
        "io.infermatrix.content": plan.content_key,
        "io.infermatrix.packages": json.dumps({p.name: p.version for p in plan.lock.pins}, separators=(",", ":")),
    }


def dockerfile(plan: ImagePlan) -> str:
    """The rendered Dockerfile; a name that the template does not know is an error, not an empty string."""
    values = labels(plan)

    def label(name: str) -> str:
        escaped = values[name].replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("\n", " ")
        return f'{name}="{escaped}"'

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    return environment.from_string(plan.template).render(
        title=plan.env.name, base_reference=plan.base.reference, python=plan.lock.python, labels=sorted(values), label=label,
        pip_installs_elsewhere=pip_installs_elsewhere(plan.lock.python), hashed_bytecode=hashes_bytecode(plan.lock.python),
        sdists=bool(plan.lock.sdists_text),
    )


def context_files(plan: ImagePlan, wheels: Sequence[Path]) -> dict[str, bytes | Path]:
    """The build context: path → content, or the file (a wheel) whose content it is; sorted by path."""
    files: dict[str, bytes | Path] = {
        "Dockerfile": dockerfile(plan).encode(),
        "lock.txt": plan.lock.wheels_text.encode(),
        **({"sdists.txt": plan.lock.sdists_text.encode()} if plan.lock.sdists_text else {}),
        **{f"runners/{path}": content for path, content in plan.runner.items()},
        **{f"wheels/{wheel.name}": wheel for wheel in wheels},
    }
    return dict(sorted(files.items()))
