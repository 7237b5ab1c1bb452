"""Build contexts as folders and as tar streams."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import BuildError, ConfigError
from orchestrator.images.context import plan_image, write_context, write_tar
from orchestrator.images.render import BaseImage
from orchestrator.images.runnerfiles import runner_digest, runner_files
from orchestrator.model import BaseVariant, EnvSpec
from tests.images.wheelhouse import THIS_PYTHON, make_env

BASE = BaseImage(variant=BaseVariant.SLIM, reference="python:3-slim", digest="sha256:00", python=THIS_PYTHON,
                 source="unresolved")


@pytest.fixture
def env(wheelhouse: Path, tmp_path: Path) -> EnvSpec:
    assert wheelhouse.is_dir()
    return make_env(tmp_path / "env", "tinyengine==1.0\n")


def test_a_context_is_complete_and_readable_by_anyone(env: EnvSpec, runner_dir: Path, tmp_path: Path) -> None:
    folder = write_context(env, base=BASE, out_dir=tmp_path / "out", runner_dir=runner_dir)
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    assert files == ["Dockerfile", "lock.txt", "runners/adapters/__init__.py", "runners/run.py",
                     "wheels/tinydep-0.5-py3-none-any.whl", "wheels/tinyengine-1.0-py3-none-any.whl"]
    assert all((folder / f).stat().st_mode & 0o444 == 0o444 for f in files)


def test_rendering_again_leaves_no_wheel_of_before(env: EnvSpec, runner_dir: Path, tmp_path: Path) -> None:
    write_context(env, base=BASE, out_dir=tmp_path / "out", runner_dir=runner_dir)
    write_context(replace(env, version="2.0"), base=BASE, out_dir=tmp_path / "out", runner_dir=runner_dir)
    assert sorted(p.name for p in (tmp_path / "out" / "wheels").iterdir()) == [
        "tinydep-0.5-py3-none-any.whl", "tinyengine-2.0-py3-none-any.whl"]


def test_a_folder_with_something_else_in_it_is_left_alone(env: EnvSpec, runner_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="not empty and is no build context"):
        write_context(env, base=BASE, out_dir=tmp_path, runner_dir=runner_dir)


def test_a_base_without_a_lock_for_its_python_is_refused(env: EnvSpec, runner_dir: Path) -> None:
    with pytest.raises(BuildError, match=r"no lock for Python 3\.7"):
        plan_image(env, base=replace(BASE, python="3.7"), runner_dir=runner_dir)


def test_a_tar_does_not_depend_on_when_its_files_were_written(tmp_path: Path) -> None:
    wheel = tmp_path / "a.whl"
    wheel.write_bytes(b"wheel")
    streams = []
    for moment in (1, 1_000_000_000):
        os.utime(wheel, (moment, moment))
        stream = io.BytesIO()
        write_tar({"Dockerfile": b"FROM x\n", "wheels/a.whl": wheel}, stream)
        streams.append(stream.getvalue())
    assert streams[0] == streams[1]


def test_a_users_adapter_joins_the_runner_under_its_backends_name(runner_dir: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "mine" / "adapter.py"
    adapter.parent.mkdir()
    adapter.write_text("MINE = 1\n")
    env = EnvSpec(name="mine", folder=adapter.parent, extra_files=(adapter,))
    assert runner_files(runner_dir, env)["adapters/mine.py"] == b"MINE = 1\n"
    assert runner_digest(runner_files(runner_dir, env)) != runner_digest(runner_files(runner_dir, replace(env, extra_files=())))


def test_compiled_files_are_no_part_of_the_runner(runner_dir: Path) -> None:
    env = EnvSpec(name="x", folder=runner_dir)
    before = runner_files(runner_dir, env)
    (runner_dir / "__pycache__").mkdir()
    (runner_dir / "__pycache__" / "run.py").write_text("")
    (runner_dir / "run.pyc").write_bytes(b"")
    assert runner_files(runner_dir, env) == before


def test_a_checkout_without_runner_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="there is no runner"):
        runner_files(tmp_path, EnvSpec(name="x", folder=tmp_path))
