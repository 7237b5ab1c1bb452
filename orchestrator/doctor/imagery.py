"""What images are built with and from: a builder, and a base image."""

from __future__ import annotations

from pathlib import Path

import docker
from docker.errors import DockerException

from orchestrator.doctor.check import Check, Verdict
from orchestrator.doctor.engine import EngineAnswer, engine_endpoint, open_client
from orchestrator.images.base import DEFAULT_REFERENCE, REPOSITORY
from orchestrator.images.debootstrap import missing_for_bootstrap


def check_builder(buildkit: Path | None) -> tuple[Check, ...]:
    """Every engine has the classic builder, so the lack of BuildKit is only worth a note."""
    if buildkit is not None:
        found = f"classic builder through the engine's API, and BuildKit through {buildkit}"
        return (Check(name="builder", verdict=Verdict.GOOD, found=found),)
    todo = "nothing has to be done; for BuildKit install docker's buildx plugin (docker-buildx-plugin)"
    found = "classic builder through the engine's API; no docker command on PATH can build with BuildKit"
    return (Check(name="builder", verdict=Verdict.NOTE, found=found, do=todo),)


def check_base(answer: EngineAnswer, *, reference: str = DEFAULT_REFERENCE) -> tuple[Check, ...]:
    """Is there something to build images from: a base on the engine, a registry that answers, or debootstrap?"""
    if not answer.available:
        return ()
    client = open_client(engine_endpoint(), timeout_s=4)
    try:
        local = _local_bases(client, reference)
        refusal = None if local else _registry_refusal(client, reference)
    finally:
        client.close()
    return judge_base(local=local, refusal=refusal, no_bootstrap=missing_for_bootstrap(), reference=reference)


def judge_base(
    *, local: tuple[str, ...], refusal: str | None, no_bootstrap: str | None, reference: str
) -> tuple[Check, ...]:
    """The verdict: local bases, why the registry gave none (None: it did), why none can be bootstrapped (pure)."""
    if local:
        return (Check(name="base image", verdict=Verdict.GOOD, found=f"here: {', '.join(local)}"),)
    if refusal is None:
        return (Check(name="base image", verdict=Verdict.GOOD, found=f"a registry offers {reference}"),)
    if no_bootstrap is None:
        found = f"no registry offers {reference} ({refusal}), but debootstrap can make a base"
        todo = "infermatrix base makes one now; else the first build does"
        return (Check(name="base image", verdict=Verdict.NOTE, found=found, do=todo),)
    found = f"none: no registry offers {reference} ({refusal}), and {no_bootstrap}"
    todo = f"let the engine reach a registry, docker load {reference}, or run infermatrix base as root"
    return (Check(name="base image", verdict=Verdict.WARN, found=found, do=todo),)


def _local_bases(client: docker.DockerClient, reference: str) -> tuple[str, ...]:
    made = client.images.list(name=REPOSITORY)  # by name: images made from a base carry its labels too
    pulled = client.images.list(name=reference)
    return tuple(sorted({tag for image in (*made, *pulled) for tag in image.tags}))


def _registry_refusal(client: docker.DockerClient, reference: str) -> str | None:
    try:
        client.images.get_registry_data(reference)
    except (DockerException, OSError) as error:
        if "timed out" in str(error).lower():
            return "it does not answer"
        return (str(error).splitlines() or [type(error).__name__])[0][:160]
    return None
