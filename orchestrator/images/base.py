"""The image that all others start from: by digest from a registry, or bootstrapped from Debian packages."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests

from orchestrator.errors import BuildError, EngineError, NoPythonError, UnavailableError
from orchestrator.images.basechoice import BaseChoice, BaseKind
from orchestrator.images.cache import cache_dir
from orchestrator.images.debootstrap import (
    bootstrap_tree,
    host_mirror,
    host_suite,
    missing_for_bootstrap,
    python_of,
    write_tree,
)
from orchestrator.images.graft import graft, named_interpreter
from orchestrator.images.interpreters import Interpreter, interpreters
from orchestrator.images.pythons import DEFAULT_PYTHON, BaseNeed, official_reference, suite_for
from orchestrator.images.render import OWNER, BaseImage
from orchestrator.images.wheels import Progress, silent
from orchestrator.model import BaseVariant

DEFAULT_REFERENCE = official_reference(DEFAULT_PYTHON)
REPOSITORY = "infermatrix/base"
_NEEDED = "import ctypes, hashlib, mmap, pip, venv, zlib"
_CHECK = ("import importlib.util, shutil, sys, sysconfig, os; "
          "print('%d.%d' % sys.version_info[:2], int(importlib.util.find_spec('pip') is not None), "
          "int(shutil.which('g++') is not None and os.path.isfile(os.path.join(sysconfig.get_paths()['include'], "
          "'Python.h'))))")


def ensure_bases(needs: Iterable[BaseNeed], choice: BaseChoice, *, client: docker.DockerClient, log_dir: Path,
                 progress: Progress = silent) -> dict[BaseNeed, BaseImage | BuildError]:
    """One base per need, or why there is none: one that cannot be had leaves the others alone."""
    bases: dict[BaseNeed, BaseImage | BuildError] = {}
    # Those who take one Python only go first: who takes several then finds the base that was made for them.
    for need in sorted(set(needs), key=lambda need: (len(need.pythons) or 99, need)):
        try:
            bases[need] = ensure_base(need, choice, client=client, log_dir=log_dir, progress=progress)
        except BuildError as error:
            bases[need] = error
    return bases


def ensure_base(need: BaseNeed, choice: BaseChoice, *, client: docker.DockerClient, log_dir: Path,
                progress: Progress = silent) -> BaseImage:
    """The base image; `auto` takes one bootstrapped earlier, then a registry's, then bootstraps.

    Raises BuildError where none of the ways leads to one, EngineError where the engine does not answer.
    """
    try:
        if need.variant is BaseVariant.CUDA:
            return _with_cuda(need, choice, client=client, progress=progress)
        if choice.kind is BaseKind.REGISTRY:
            return _from_registry(need.variant, choice.reference_for(need), client=client, progress=progress)
        existing = _bootstrapped(need, choice.suite, client=client)
        if existing is not None:
            return existing
        if choice.interpreter is not None:
            return _with_interpreter(need, choice.interpreter, client=client, log_dir=log_dir, progress=progress)
        if choice.kind is BaseKind.BOOTSTRAP:
            return _bootstrap(need, choice.suite, client=client, log_dir=log_dir, progress=progress)
        try:
            return _from_registry(need.variant, choice.reference_for(need), client=client, progress=progress)
        except BuildError as error:
            try:
                return _bootstrap(need, None, client=client, log_dir=log_dir, progress=progress)
            except BuildError as also:
                raise NoPythonError(
                    f"there is no {need.variant.value} base image{_with(need)}: {error.message}; and {also.message}",
                    hint=_without_base(need)) from error
    except requests.exceptions.RequestException as error:
        raise EngineError(f"the container engine does not answer: {error}",
                          hint="Check it with: infermatrix doctor") from error


def _with_cuda(need: BaseNeed, choice: BaseChoice, *, client: docker.DockerClient, progress: Progress) -> BaseImage:
    """The image that the user named: which CUDA fits is a matter of the driver, and none can be made here."""
    reference = choice.cuda_for(need)
    if reference is None:
        raise UnavailableError(
            f"no base image with CUDA is named{_with(need)}",
            hint="Name one that holds CUDA's libraries and python3 with pip, by digest: `base: {cuda: REPOSITORY@sha256:…}` in "
                 "the matrix, or --base cuda=REFERENCE. Under --isolation venv this machine's own libraries are used.")
    try:
        base = _from_registry(need.variant, reference, client=client, progress=progress)
    except NoPythonError as error:
        raise UnavailableError(
            error.message, hint="Does its registry answer the engine? `docker load` brings an image without one.") from error
    if need.pythons and base.python not in need.pythons:
        raise NoPythonError(f"the base image {reference} has Python {base.python}, wanted is {' or '.join(need.pythons)}",
                            hint="Name another, or make a lock for that Python: infermatrix lock NAME --python VERSION")
    return base


def _bootstrap(need: BaseNeed, suite: str | None, *, client: docker.DockerClient, log_dir: Path,
               progress: Progress) -> BaseImage:
    missing = missing_for_bootstrap()
    if missing:
        raise BuildError(f"none can be bootstrapped: {missing}", hint="Run `infermatrix base` as root once.")
    own = host_suite()
    suite = suite or (suite_for(need.pythons, own) if own else None)
    if own and suite is None:
        raise NoPythonError(f"no suite of this host's distribution has Python {' or '.join(need.pythons)}",
                            hint=_without_base(need))
    return bootstrap(need.variant, client=client, suite=suite, log_dir=log_dir, progress=progress)


def _with_interpreter(need: BaseNeed, path: Path, *, client: docker.DockerClient, log_dir: Path,
                      progress: Progress) -> BaseImage:
    python = named_interpreter(path)
    if need.pythons and python.python not in need.pythons:
        raise NoPythonError(f"{path} is Python {python.python}, not {' or '.join(need.pythons)}",
                            hint="Make this base once with `infermatrix base --python`; runs then find it by themselves.")
    missing = missing_for_bootstrap()
    if missing:
        raise BuildError(f"none can be bootstrapped: {missing}", hint="Run `infermatrix base` as root once.")
    base = bootstrap(need.variant, client=client, log_dir=log_dir, progress=progress, interpreter=python)
    try:  # its extension modules may want libraries of the host that the base has not
        _run(base.reference, ["python3", "-c", _NEEDED], client=client)
    except docker.errors.DockerException as error:
        client.images.remove(base.reference, force=True)
        raise BuildError(f"the Python of {path} does not run in a base of this distribution",
                         hint="It needs zlib, ctypes and pip there: one that was built on this very system has them.") from error
    return base


def _with(need: BaseNeed) -> str:
    return f" with Python {' or '.join(need.pythons)}" if need.pythons else ""


def _without_base(need: BaseNeed) -> str:
    """What else would serve: an interpreter that is here already, under the other isolation."""
    here = [found for found in interpreters(need.pythons) if found.python in need.pythons]
    if here:
        python, path = here[0].python, here[0].path
        return f"This machine has Python {python} itself: --isolation venv runs what needs it, and a base gets it with " \
               f"`infermatrix base --variant {need.variant.value} --python {python} --from interpreter:{path}`. " \
               "Or name a base with --base, such as registry.example/python:{python}-slim-bookworm."
    return "Run `infermatrix base` as root once, or name a base of your own with --base (it may hold {python})."


def bootstrap(variant: BaseVariant, *, client: docker.DockerClient, log_dir: Path, suite: str | None = None,
              progress: Progress = silent, interpreter: Interpreter | None = None) -> BaseImage:
    """Makes the base anew from Debian packages and imports it as `infermatrix/base:<suite>-<variant>`. Needs root.

    With an `interpreter` that is the base's python3, and the name says so: `<suite>-python3.6-<variant>`.
    """
    mirror = host_mirror(suite=suite)
    work = cache_dir() / "bootstrap"
    work.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=work, prefix="tree-"))
    try:
        root = scratch / "root"
        age = bootstrap_tree(root, variant=variant, mirror=mirror, debs=work / "debs",
                             log=log_dir / f"base-{mirror.suite}-{variant.value}.log", progress=progress)
        name = mirror.suite
        if interpreter is not None:
            graft(root, interpreter)
            name = f"{name}-python{interpreter.python}"
        return import_tree(root, variant=variant, suite=name, age=age, client=client)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def import_tree(root: Path, *, variant: BaseVariant, suite: str, age: int, client: docker.DockerClient) -> BaseImage:
    """Imports a tree into the engine as a base of one layer."""
    tar = root.parent / "root.tar"
    write_tree(root, tar=tar, age=age)
    labels = {"io.infermatrix.owner": OWNER, "io.infermatrix.base": variant.value,
              "io.infermatrix.python": python_of(root), "org.opencontainers.image.title": f"{suite} with Python"}
    changes = ["ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "ENV LANG=C.UTF-8",
               'CMD ["python3"]', *(f'LABEL {name}="{value}"' for name, value in labels.items())]
    tag = f"{suite}-{variant.value}"
    client.api.import_image_from_file(str(tar), repository=REPOSITORY, tag=tag, changes=changes)
    image = _bootstrapped(BaseNeed(variant=variant), suite, client=client)
    if image is None:
        raise BuildError(f"the engine did not take the base {REPOSITORY}:{tag}",
                         hint="Does the engine's storage have room?")
    return image


def _bootstrapped(need: BaseNeed, suite: str | None, *, client: docker.DockerClient) -> BaseImage | None:
    """The one with the Python that is preferred; of several such, that of the suite that sorts last."""
    found = client.images.list(name=REPOSITORY, filters={"label": [f"io.infermatrix.base={need.variant.value}"]})
    tagged = sorted(((str(tag), image) for image in found for tag in image.tags), key=lambda pair: pair[0], reverse=True)
    known = [BaseImage(variant=need.variant, reference=tag, digest=_layers_digest(image), source="bootstrapped",
                       python=image.labels["io.infermatrix.python"])
             for tag, image in tagged if suite is None or tag == f"{REPOSITORY}:{suite}-{need.variant.value}"]
    if suite is not None or not need.pythons:  # a suite was named, or any will do: the usual one before others
        return next(iter(sorted(known, key=lambda base: base.python != DEFAULT_PYTHON)), None)
    return next((base for python in need.pythons for base in known if base.python == python), None)


def _from_registry(variant: BaseVariant, reference: str, *, client: docker.DockerClient,
                   progress: Progress) -> BaseImage:
    """Pulls unless the engine has it: a tag that moves in the registry does not change this machine's images unasked."""
    try:
        try:
            image, source = client.images.get(reference), "local"
        except docker.errors.ImageNotFound:
            progress(f"pulling {reference}")
            image, source = client.images.pull(reference), "registry"
    except docker.errors.APIError as error:
        raise NoPythonError(f"the base image {reference} cannot be had: {error.explanation or error}",
                         hint="Is the registry reachable from the engine? Without one: infermatrix base") from error
    repository = re.sub(r"(@sha256:[0-9a-f]+|:[^:/]+)$", "", reference)
    digests = [str(d) for d in image.attrs.get("RepoDigests") or () if str(d).split("@")[0].endswith(repository)]
    python = _check(image, variant=variant, reference=reference, client=client)
    if not digests:  # made on this machine, never in a registry
        return BaseImage(variant=variant, reference=reference, digest=_layers_digest(image), python=python, source="local")
    return BaseImage(variant=variant, reference=digests[0], digest=digests[0].split("@")[1], python=python,
                     source="registry" if source == "registry" else "local")


def _check(image: Any, *, variant: BaseVariant, reference: str, client: docker.DockerClient) -> str:
    """The image's Python, once it is sure that the image can serve; asked once per image and remembered on disk."""
    memo = cache_dir() / "bases" / hashlib.sha256(f"{image.id} {_CHECK}".encode()).hexdigest()
    if not memo.is_file():
        try:
            output = _run(image.id, ["python3", "-c", _CHECK], client=client)
        except docker.errors.DockerException as error:
            raise BuildError(f"the base image {reference} has no python3 that runs",
                             hint=f"It must hold python3 with pip, like {DEFAULT_REFERENCE}.") from error
        memo.parent.mkdir(parents=True, exist_ok=True)
        memo.write_text(output.decode())
    python, pip, toolchain = memo.read_text().split()
    if pip != "1":
        raise BuildError(f"the base image {reference} has Python {python} but no pip",
                         hint=f"It must hold python3 with pip, like {DEFAULT_REFERENCE}.")
    if variant is BaseVariant.TOOLCHAIN and toolchain != "1":
        raise BuildError(f"the base image {reference} has no g++ with Python's headers",
                         hint="Name a base with a compiler (the official python images without -slim have one).")
    return python


def _run(image: str, command: list[str], *, client: docker.DockerClient) -> bytes:
    """What the command prints. (`containers.run(remove=True)` leaves the container behind where it cannot start.)"""
    container = client.containers.create(image, command, entrypoint=[], network_mode="none",
                                         labels={"io.infermatrix.owner": OWNER})
    try:
        container.start()
        code = container.wait(timeout=60)["StatusCode"]
        if code != 0:
            raise docker.errors.DockerException(f"it ended with {code}")
        return bytes(container.logs(stdout=True, stderr=False))
    finally:
        container.remove(force=True)


def _layers_digest(image: Any) -> str:
    """Of the layers, not of the image: importing the same tree again gives the same."""
    layers = "\n".join(image.attrs["RootFS"]["Layers"])
    return f"sha256:{hashlib.sha256(layers.encode()).hexdigest()}"
