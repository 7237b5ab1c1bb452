"""Real images of a tiny environment, by both builders."""

from __future__ import annotations

import io
import json
import tarfile
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from orchestrator.errors import BuildError
from orchestrator.images.base import ensure_base
from orchestrator.images.basechoice import BaseChoice
from orchestrator.images.build import BuildOptions, ensure_image, ensure_images
from orchestrator.images.builders import Builder, find_buildkit
from orchestrator.images.locks import find_lock, read_lock
from orchestrator.images.prune import owned_images, remove_images
from orchestrator.images.pythons import BaseNeed, need_of
from orchestrator.images.wheels import fetch
from orchestrator.model import BaseVariant, EnvSpec
from tests.images.wheelhouse import add_pip, make_env, make_runner, make_sdist, make_wheel

pytestmark = pytest.mark.engine
IMAGES = Path(__file__).resolve().parents[2] / "images"


@pytest.fixture
def options(engine: docker.DockerClient, base_image: str, cache: Path, runner_dir: Path, tmp_path: Path) -> BuildOptions:
    assert base_image
    assert cache.is_dir()
    base = ensure_base(BaseNeed(variant=BaseVariant.SLIM), BaseChoice.parse(base_image), client=engine, log_dir=tmp_path)
    need = BaseNeed(variant=BaseVariant.SLIM, pythons=(base.python,))
    return BuildOptions(bases={need: base}, log_dir=tmp_path / "logs", runner_dir=runner_dir)


@pytest.fixture
def env(engine: docker.DockerClient, wheelhouse: Path, tmp_path: Path, options: BuildOptions) -> Iterator[EnvSpec]:
    assert wheelhouse.is_dir()
    base = next(iter(options.bases.values()))
    assert not isinstance(base, BuildError)
    name = f"test-{uuid.uuid4().hex[:8]}"
    yield make_env(tmp_path / "env", "tinyengine==1.0\n", name=name, pythons=[base.python])
    _remove(engine, name)


def _remove(engine: docker.DockerClient, name: str) -> None:
    for image in engine.images.list(filters={"label": [f"io.infermatrix.env={name}"]}):
        for what in image.tags or [str(image.id)]:
            engine.images.remove(what, force=True)


@pytest.fixture(params=list(Builder), ids=lambda b: b.value)
def builder(request: pytest.FixtureRequest) -> Builder:
    chosen = Builder(request.param)
    if chosen is Builder.BUILDKIT and find_buildkit() is None:
        pytest.skip("no docker command here can build with BuildKit")
    return chosen


def test_an_image_runs_as_nobody_with_its_packages_and_its_runner(
    engine: docker.DockerClient, env: EnvSpec, options: BuildOptions, builder: Builder,
) -> None:
    ready = ensure_image(env, replace(options, builder=builder), client=engine)
    code = ("import os, sys, tinyengine; open('/mx/io/x', 'w').close(); print(os.getuid(), tinyengine.__version__, "
            "sys.prefix, len(os.listdir('/opt/infermatrix/runners/__pycache__')))")
    output = engine.containers.run(ready.reference, [ready.python, "-c", code], remove=True, network_mode="none")
    assert output.decode().split() == ["65532", "1.0", "/opt/env", "1"]
    assert (ready.packages, ready.source) == (2, "built")
    assert ready.size_mb is not None
    labels = engine.images.get(ready.reference).labels
    lock = read_lock(find_lock(env, python=labels["io.infermatrix.python"]))
    assert labels["io.infermatrix.owner"] == "infermatrix"
    assert labels["io.infermatrix.content"] == ready.digest
    assert labels["io.infermatrix.lock"] == lock.digest
    assert json.loads(labels["io.infermatrix.packages"]) == {"tinydep": "0.5", "tinyengine": "1.0"}
    assert labels["org.opencontainers.image.version"] == "1.0"


def test_an_unchanged_environment_is_not_built_again(
    engine: docker.DockerClient, env: EnvSpec, options: BuildOptions, builder: Builder,
) -> None:
    chosen = replace(options, builder=builder)
    first = ensure_image(env, chosen, client=engine)
    log = next(options.log_dir.iterdir())
    log.unlink()
    said: list[str] = []
    second = ensure_image(env, chosen, client=engine, progress=said.append)
    assert second == replace(first, source="cached", prepare_s=0.0)
    assert (said, log.exists()) == ([], False)


def test_a_changed_runner_changes_the_last_layer_alone(
    engine: docker.DockerClient, env: EnvSpec, options: BuildOptions, builder: Builder,
) -> None:
    chosen = replace(options, builder=builder)
    first = ensure_image(env, chosen, client=engine)
    make_runner(options.runner_dir, "print('another runner')\n")
    second = ensure_image(env, chosen, client=engine)
    before, after = (engine.images.get(r.reference).attrs["RootFS"]["Layers"] for r in (first, second))
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]


def test_no_layer_holds_a_wheel(
    engine: docker.DockerClient, env: EnvSpec, options: BuildOptions, builder: Builder,
) -> None:
    ready = ensure_image(env, replace(options, builder=builder), client=engine)
    names = [name for layer in _own_layers(engine, ready.reference, options) for name in layer]
    assert "opt/env/bin/python" in names
    assert not [name for name in names if name.endswith(".whl") or name.startswith("build")]


def test_a_source_is_built_inside_the_image(
    engine: docker.DockerClient, env: EnvSpec, options: BuildOptions, wheelhouse: Path, tmp_path: Path, builder: Builder,
) -> None:
    make_sdist(wheelhouse, "tinyold", "1.2", ran=Path("/tmp/ran-inside"))
    base = next(iter(options.bases.values()))
    assert not isinstance(base, BuildError)
    requirements = f"tinyold==1.2  # sdist\ntinydep\npip=={add_pip(wheelhouse)}\n"
    old = make_env(tmp_path / "old", requirements, name=env.name, pythons=[base.python], version_of="tinyold")
    ready = ensure_image(old, replace(options, builder=builder), client=engine)
    code = "import tinyold; print(tinyold.PREFIX, tinyold.DEP)"
    output = engine.containers.run(ready.reference, [ready.python, "-c", code], remove=True, network_mode="none")
    assert output.decode().split() == ["/opt/env", "0.5"]
    assert ready.packages == 3
    assert not [name for layer in _own_layers(engine, ready.reference, options) for name in layer if name.endswith(".tar.gz")]


def test_an_image_weighs_what_its_base_and_packages_weigh(
    engine: docker.DockerClient, env: EnvSpec, options: BuildOptions, wheelhouse: Path, tmp_path: Path,
) -> None:
    payload = 20_000_000
    make_wheel(wheelhouse, "tinyengine", "7.0", payload=bytes(payload))
    base = next(iter(options.bases.values()))
    assert not isinstance(base, BuildError)
    heavy = make_env(tmp_path / "heavy", "tinyengine==7.0\n", name=env.name, pythons=[base.python])
    ready = ensure_image(heavy, options, client=engine)
    base_size = engine.images.get(base.reference).attrs["Size"]
    size = engine.images.get(ready.reference).attrs["Size"]
    assert payload <= size - base_size <= payload * 1.05
    assert ready.size_mb == round(size / 1e6, 1)


def test_one_that_fails_leaves_the_others_alone(
    engine: docker.DockerClient, env: EnvSpec, options: BuildOptions, tmp_path: Path,
) -> None:
    (tmp_path / "unlocked").mkdir()
    (tmp_path / "unlocked" / "requirements.in").write_text("tinyengine\n")
    unlocked = EnvSpec(name="unlocked", folder=tmp_path / "unlocked")
    needy = replace(env, base=BaseVariant.TOOLCHAIN)
    made = ensure_images([unlocked, env, needy], options, client=engine)
    assert isinstance(made[unlocked], BuildError)
    assert isinstance(made[needy], BuildError)
    assert not isinstance(made[env], BuildError)


def test_a_build_that_fails_names_its_log(
    engine: docker.DockerClient, env: EnvSpec, options: BuildOptions, tmp_path: Path, builder: Builder,
) -> None:
    template = tmp_path / "Dockerfile.j2"
    template.write_text(f"FROM {{{{ base_reference }}}}\nLABEL io.infermatrix.env={env.name}\n"
                        "RUN echo reason-in-the-log && exit 7\n")
    with pytest.raises(BuildError, match=f"the image of {env.name} could not be built") as caught:
        ensure_image(env, replace(options, builder=builder, template=template), client=engine)
    log = options.log_dir / f"build-{env.name}.log"
    assert str(log) in caught.value.hint
    assert "reason-in-the-log" in log.read_text()


def test_a_build_has_no_network(
    engine: docker.DockerClient, env: EnvSpec, options: BuildOptions, tmp_path: Path, builder: Builder,
) -> None:
    template = tmp_path / "Dockerfile.j2"
    template.write_text(f"FROM {{{{ base_reference }}}}\nLABEL io.infermatrix.env={env.name}\n"
                        "RUN cat /proc/net/dev && test $(tail -n +3 /proc/net/dev | wc -l) -eq 1 && false\n")
    with pytest.raises(BuildError):
        ensure_image(env, replace(options, builder=builder, template=template), client=engine)
    log = (options.log_dir / f"build-{env.name}.log").read_text()
    assert "lo:" in log
    assert "eth0" not in log


def test_pruning_takes_our_images_and_their_stages_and_nobody_elses(
    engine: docker.DockerClient, env: EnvSpec, options: BuildOptions,
) -> None:
    ready = ensure_image(env, options, client=engine)
    engine.images.get(ready.reference).tag("someone-elses/image", "1")
    try:
        mine = {i.id for i in owned_images(engine)}
        assert ready.reference not in mine  # it now carries a foreign name too
    finally:
        engine.images.remove("someone-elses/image:1")
    ours = [i for i in owned_images(engine) if i.env == env.name]
    assert len(ours) == 3  # the image and its two stages
    bases = {i.id for i in owned_images(engine) if i.is_base}
    assert {i.id for i in remove_images(engine, ours)} == {i.id for i in ours}
    assert not engine.images.list(filters={"label": [f"io.infermatrix.env={env.name}"]})
    assert {i.id for i in owned_images(engine)} >= bases


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnxruntime"])
def test_a_real_image_is_at_most_five_percent_over_base_and_packages(
    engine: docker.DockerClient, options: BuildOptions, name: str,
) -> None:
    base = next(iter(options.bases.values()))
    assert not isinstance(base, BuildError)
    env = EnvSpec(name=name, folder=IMAGES / name, version_of=name)
    ready = ensure_image(env, replace(options, bases={need_of(env): base}), client=engine)
    # What the wheels say they hold, unpacked: measured without the image.
    wheels = fetch(read_lock(find_lock(env, python=base.python)))
    packages = sum(_unpacked(wheel) for wheel in wheels)
    code = "import pathlib; print(sum(f.stat().st_size for f in pathlib.Path('/opt/env').rglob('*.pyc')))"
    compiled = int(engine.containers.run(ready.reference, [ready.python, "-c", code], remove=True, network_mode="none"))
    whole = engine.images.get(base.reference).attrs["Size"] + packages + compiled
    try:
        assert ready.size_mb is not None
        assert ready.size_mb * 1e6 <= 1.05 * whole
    finally:
        engine.images.remove(ready.reference, force=True)


def _unpacked(wheel: Path) -> int:
    with zipfile.ZipFile(wheel) as archive:
        return sum(member.file_size for member in archive.infolist())


def _own_layers(engine: docker.DockerClient, image: str, options: BuildOptions) -> Iterator[list[str]]:
    """The file names in each layer of a saved image but its base's."""
    base = next(iter(options.bases.values()))
    assert not isinstance(base, BuildError)
    below = len(engine.images.get(base.reference).attrs["RootFS"]["Layers"])
    saved = io.BytesIO(b"".join(engine.images.get(image).save()))
    with tarfile.open(fileobj=saved) as archive:
        manifest: list[dict[str, Any]] = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        for name in manifest[0]["Layers"][below:]:
            with tarfile.open(fileobj=archive.extractfile(name)) as layer:
                yield layer.getnames()
