"""How environments come to be under each isolation: the functions that `Isolation.prepare` calls."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import docker
import yaml

from orchestrator.config.matrix import MatrixConfig
from orchestrator.errors import BuildError, ConfigError
from orchestrator.images.base import ensure_bases
from orchestrator.images.basechoice import BaseChoice
from orchestrator.images.build import BuildOptions, ensure_images
from orchestrator.images.builders import Builder
from orchestrator.images.interpreters import check_interpreter
from orchestrator.images.pythons import need_of
from orchestrator.images.venvs import ensure_venvs
from orchestrator.model import BackendSpec, BaseVariant, EnvSpec, ReadyEnv

Say = Callable[[str], None]
Prepared = Mapping[str, "ReadyEnv | BuildError"]
Prepare = Callable[[Mapping[str, EnvSpec], Say], Prepared]
MODELS_ENV = "_models"


def models_env(images_dir: Path) -> EnvSpec:
    """The environment that built-in models are exported in."""
    folder = images_dir / MODELS_ENV
    declared = yaml.safe_load((folder / "env.yaml").read_text())
    return EnvSpec(
        name=MODELS_ENV, folder=folder, base=BaseVariant(declared.get("base", "slim")),
        extra_index_urls=tuple(declared.get("extra_index_urls", ())),
    )


def converter_key(backend: str) -> str:
    """Under which name a backend's converter environment is prepared."""
    return f"{backend}/converter"


def envs_of(backend: BackendSpec) -> dict[str, EnvSpec]:
    """The environments that a backend consists of: its own, and its converter's if it has one."""
    own = {backend.name: backend.env}
    return {**own, converter_key(backend.name): backend.converter.env} if backend.converter else own


def in_images(client: docker.DockerClient, base: BaseChoice, log_dir: Path, builder: Builder) -> Prepare:
    """Each environment as an image of the engine behind `client`."""

    def prepare(envs: Mapping[str, EnvSpec], say: Say) -> Prepared:
        bases = ensure_bases({need_of(env) for env in envs.values()}, base, client=client, log_dir=log_dir, progress=say)
        options = BuildOptions(bases=bases, log_dir=log_dir, builder=builder)
        made = ensure_images(envs.values(), options, client=client, progress=say)
        return {name: made[env] for name, env in envs.items()}

    return prepare


def in_venvs() -> Prepare:
    """Each environment as a virtual environment in the cache."""

    def prepare(envs: Mapping[str, EnvSpec], say: Say) -> Prepared:
        made = ensure_venvs(envs.values(), progress=say)
        return {name: made[env] for name, env in envs.items()}

    return prepare


def named_interpreters(config: MatrixConfig, labels: Iterable[str]) -> dict[str, Path]:
    """The Python named for each row; what it holds is asked later. Raises ConfigError where none is named or none is there."""
    pythons = {label: config.interpreter(label) for label in sorted(set(labels))}
    for label, path in pythons.items():
        if not path.is_file() or not os.access(path, os.X_OK):
            what = "does not exist" if not path.exists() else "is no program that can be run"
            raise ConfigError(
                f"{config.source}: the interpreter for `{label}` {what}: {path}",
                hint="Name the python executable itself, for instance /opt/conda/envs/x/bin/python.",
            )
    return pythons


def in_interpreters(interpreters: Mapping[str, Path]) -> Prepare:
    """The Python that the user named for each row; what no row is (converters, the exporter) as virtual environments."""

    def prepare(envs: Mapping[str, EnvSpec], say: Say) -> Prepared:
        made: dict[str, ReadyEnv | BuildError] = dict(
            in_venvs()({name: env for name, env in envs.items() if name not in interpreters}, say)
        )
        for name in interpreters.keys() & envs.keys():
            try:
                made[name] = check_interpreter(interpreters[name], envs[name])
            except BuildError as error:
                made[name] = error
        return made

    return prepare
