"""`base`, `lock`, `render` and `build`: images, without running anything in them."""

from __future__ import annotations

import argparse
from pathlib import Path

import docker

from orchestrator.backends import Registry
from orchestrator.cli.common import IMAGES, RESULTS, Commands, add, add_backends, registry_of
from orchestrator.cli.console import Console, complain
from orchestrator.config.nearest import did_you_mean, listed
from orchestrator.counting import several
from orchestrator.doctor.engine import engine_answer, engine_endpoint, open_client
from orchestrator.environments import MODELS_ENV, envs_of, in_images, models_env
from orchestrator.errors import BuildError, ConfigError, EngineError
from orchestrator.images.base import ensure_base
from orchestrator.images.basechoice import BaseChoice
from orchestrator.images.builders import Builder
from orchestrator.images.context import write_context
from orchestrator.images.locks import make_lock
from orchestrator.images.pythons import DEFAULT_PYTHON, BaseNeed, need_of
from orchestrator.images.render import BaseImage
from orchestrator.model import BaseVariant, EnvSpec

LOGS = RESULTS / "local" / "logs"


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    base = add(commands, "base", _base, "Make or fetch the base images.", "sudo infermatrix base --from bootstrap")
    made_here = [variant.value for variant in BaseVariant if variant.is_made_here]
    base.add_argument("--variant", choices=made_here, action="append", default=[])
    base.add_argument(
        "--from", dest="source", default="auto", metavar="REF",
        help="auto, bootstrap[:SUITE], interpreter:PATH (bootstrapped, with that Python from here) or a registry's reference",
    )
    base.add_argument("--python", default=DEFAULT_PYTHON, help=f"which Python it is to have (default: {DEFAULT_PYTHON})")
    lock = add(commands, "lock", _lock, "Resolve requirements.in into a lock file with hashes.", "infermatrix lock onnxruntime")
    lock.add_argument("names", nargs="+", metavar="ENV", help=f"a backend, BACKEND/converter, or {MODELS_ENV}")
    lock.add_argument("--python", default="3.11")
    lock.add_argument("--machine", default="x86_64")
    add_backends(lock)
    render = add(
        commands, "render", _render, "Write a build context that plain `docker build` builds.",
        "infermatrix render onnxruntime --out /tmp/ort && docker build /tmp/ort",
    )
    render.add_argument("name", metavar="ENV")
    render.add_argument("--out", type=Path, required=True, metavar="DIR",
                        help="a new or empty folder, or an earlier context, which is written anew")
    render.add_argument("--base", default=None, metavar="REF", help="what FROM says (default: the base image this engine has)")
    render.add_argument("--python", default=None, help="the Python of --base (default: the one that its lock is preferred for)")
    add_backends(render)
    build = add(commands, "build", _build, "Build the images that changed.", "infermatrix build onnxruntime torch")
    build.add_argument("names", nargs="*", metavar="ENV", help="default: all")
    build.add_argument("--base", default="auto", metavar="REF", help="auto, bootstrap[:SUITE] or a reference; then ,cuda=REF")
    build.add_argument("--builder", choices=[builder.value for builder in Builder])
    add_backends(build)


def _env(name: str, registry: Registry) -> EnvSpec:
    known = _all(registry)
    if name not in known:
        raise ConfigError(f"there is no environment {name!r}{did_you_mean(name, known)}", hint=f"known: {listed(known)}")
    return known[name]


def _all(registry: Registry) -> dict[str, EnvSpec]:
    known = {name: env for spec in registry.values() for name, env in envs_of(spec).items()}
    return {**known, MODELS_ENV: models_env(IMAGES)}


def _client() -> docker.DockerClient:
    answer = engine_answer()
    if not answer.available:
        raise EngineError(f"no container engine answers: {answer.reason}", hint=answer.hint)
    return open_client(engine_endpoint(), timeout_s=600)


def _base(options: argparse.Namespace) -> int:
    console = Console()
    for variant in options.variant or [variant.value for variant in BaseVariant if variant.is_made_here]:
        made = ensure_base(
            BaseNeed(variant=BaseVariant(variant), pythons=(options.python,)), BaseChoice.parse(options.source),
            client=_client(), log_dir=LOGS, progress=console.say,
        )
        print(f"{variant}: {made.reference} (Python {made.python}, {made.source}, {made.digest})")
    return 0


def _lock(options: argparse.Namespace) -> int:
    registry = registry_of(options)
    for name in options.names:
        print(make_lock(_env(name, registry), python=options.python, machine=options.machine))
    return 0


def _render(options: argparse.Namespace) -> int:
    env = _env(options.name, registry_of(options))
    need = need_of(env)
    if options.base:
        base = BaseImage(
            variant=env.base, reference=options.base, digest=options.base.partition("@")[2] or "unresolved",
            python=options.python or next(iter(need.pythons), DEFAULT_PYTHON), source="unresolved",
        )
    else:
        base = ensure_base(need, BaseChoice.parse("auto"), client=_client(), log_dir=LOGS, progress=Console().say)
    folder = write_context(env, base=base, out_dir=options.out, progress=Console().say)
    print(f"wrote {folder}; build it with: docker build {folder}")
    return 0


def _build(options: argparse.Namespace) -> int:
    registry = registry_of(options)
    choice = BaseChoice.parse(options.base)
    envs = {name: _env(name, registry) for name in options.names} or _all(registry)
    if not options.names and choice.cuda is None:
        left = sorted(name for name, env in envs.items() if env.base is BaseVariant.CUDA)
        Console().say(f"left out, for no base with CUDA is named (--base cuda=REFERENCE): {listed(left) or 'nothing'}")
        envs = {name: env for name, env in envs.items() if name not in left}
    prepare = in_images(_client(), choice, LOGS, Builder.chosen(options.builder))
    made = prepare(envs, Console().say)
    failed = 0
    for name, ready in made.items():
        if isinstance(ready, BuildError):
            failed += 1
            complain(f"{name}: {ready.message}", ready.hint)
        else:
            packages = "packages not counted" if ready.packages is None else several(ready.packages, "package")
            print(f"{name}: {ready.reference[:19]} {ready.size_mb} MB, {packages}, {ready.source}")
    return BuildError.exit_code if failed else 0
