"""An image per environment: built when its content key is new, left alone otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import docker
import docker.errors
import requests

from orchestrator.errors import BuildError, EngineError
from orchestrator.images.builders import Builder, build_buildkit, build_classic, find_buildkit
from orchestrator.images.context import DEFAULT_RUNNER, DEFAULT_TEMPLATE, plan_image
from orchestrator.images.parallel import make_each
from orchestrator.images.pythons import BaseNeed, need_of
from orchestrator.images.render import OWNER, PYTHON_INSIDE, BaseImage, ImagePlan, context_files, slug
from orchestrator.images.wheels import Progress, fetch, silent
from orchestrator.model import EnvSpec, IsolationKind, ReadyEnv


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What all images of a run are built with."""

    bases: Mapping[BaseNeed, BaseImage | BuildError]
    log_dir: Path  # one file per image: build-<name>.log
    runner_dir: Path = DEFAULT_RUNNER
    template: Path = DEFAULT_TEMPLATE
    builder: Builder = Builder.CLASSIC


def ensure_images(envs: Iterable[EnvSpec], options: BuildOptions, *, client: docker.DockerClient,
                  progress: Progress = silent, parallel: int = 2) -> dict[EnvSpec, ReadyEnv | BuildError]:
    """Every environment's image, or why it has none: one that fails leaves the others alone.

    Raises EngineError where the engine itself does not answer.
    """
    return make_each(envs, lambda env: ensure_image(env, options, client=client, progress=progress), parallel=parallel)


def ensure_image(env: EnvSpec, options: BuildOptions, *, client: docker.DockerClient,
                 progress: Progress = silent) -> ReadyEnv:
    """The image of an environment; calls the builder only where no image with its content key exists.

    Raises BuildError (with the path of the log) where it cannot be built, EngineError where the engine does not answer.
    """
    base = options.bases.get(need_of(env))
    if base is None:
        raise BuildError(f"{env.name} needs a {env.base.value} base, and there is none", hint="Run: infermatrix base")
    if isinstance(base, BuildError):
        raise base
    plan = plan_image(env, base=base, runner_dir=options.runner_dir, template=options.template)
    try:
        image = _existing(client, plan)
        if image is not None:
            return _ready(image, plan, seconds=0.0)
        started = time.monotonic()
        _build(plan, options, client=client, progress=progress)
        image = _existing(client, plan)
    except (requests.exceptions.RequestException, docker.errors.APIError) as error:
        raise EngineError(f"the container engine failed while it built {env.name}: {error}",
                          hint="Check it with: infermatrix doctor") from error
    if image is None:
        raise BuildError(f"the engine built {env.name} but does not know {plan.tag}",
                         hint="Does the engine's storage still have room?")
    seconds = time.monotonic() - started
    progress(f"{env.name}: image of {image.attrs['Size'] / 1e6:.0f} MB in {seconds:.0f} s")
    return _ready(image, plan, seconds=seconds)


def _build(plan: ImagePlan, options: BuildOptions, *, client: docker.DockerClient, progress: Progress) -> None:
    name = plan.env.name
    wheels = fetch(plan.lock, extra_index_urls=plan.env.extra_index_urls, progress=lambda m: progress(f"{name}: {m}"))
    files = context_files(plan, wheels)
    options.log_dir.mkdir(parents=True, exist_ok=True)
    version = f"-{plan.env.version}" if plan.env.version else ""
    path = options.log_dir / f"build-{slug(name)}{version}.log"
    progress(f"{name}: building {plan.tag} with {options.builder.value}")
    with path.open("w") as log:
        try:
            _call_builder(options.builder, files, tag=plan.tag, client=client, log=log)
        except BuildError as error:
            raise BuildError(f"the image of {name} could not be built: {error.message}",
                             hint=error.hint or f"The whole log: {path}") from error


def _call_builder(builder: Builder, files: Mapping[str, bytes | Path], *, tag: str, client: docker.DockerClient,
                  log: IO[str]) -> None:
    if builder is Builder.CLASSIC:
        build_classic(client, files, tag=tag, log=log)
        return
    command = find_buildkit()
    if command is None:
        raise BuildError("no docker command on PATH can build with BuildKit",
                         hint="Install docker-buildx, or leave the builder at `classic`.")
    build_buildkit(command, files, tag=tag, log=log)


def _existing(client: docker.DockerClient, plan: ImagePlan) -> Any | None:
    """The image under the plan's tag, if it is the plan's: 12 digits of a tag are no proof, the label is."""
    try:
        image = client.images.get(plan.tag)
    except docker.errors.ImageNotFound:
        return None
    owned = image.labels.get("io.infermatrix.owner") == OWNER
    return image if owned and image.labels.get("io.infermatrix.content") == plan.content_key else None


def _ready(image: Any, plan: ImagePlan, *, seconds: float) -> ReadyEnv:
    return ReadyEnv(
        name=plan.env.name, kind=IsolationKind.DOCKER, reference=image.id, digest=plan.content_key,
        installed=plan.installed_key, python=PYTHON_INSIDE,
        size_mb=round(image.attrs["Size"] / 1e6, 1), packages=len(plan.lock.pins), prepare_s=round(seconds, 2),
        source="built" if seconds else "cached",
    )
