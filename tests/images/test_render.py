"""The Dockerfile and the content key: pure functions of what an image is made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.images.context import DEFAULT_TEMPLATE
from orchestrator.images.lockfile import parse_lock
from orchestrator.images.render import BaseImage, ImagePlan, context_files, dockerfile, slug
from orchestrator.model import BaseVariant, EnvSpec

GOLDEN = Path(__file__).parent / "golden" / "Dockerfile"
LOCK = f"engine==1.0+cpu --hash=sha256:{'a' * 64}\nnumpy==2.0 --hash=sha256:{'b' * 64}\n"
BASE = BaseImage(variant=BaseVariant.SLIM, reference="python@sha256:" + "c" * 64, digest="sha256:" + "c" * 64, python="3.11",
                 source="registry")
PLAN = ImagePlan(
    env=EnvSpec(name="engine/converter", folder=Path("nowhere"), version_of="engine"),
    base=BASE, lock=parse_lock(LOCK, name="lock-cp311-x86_64.txt"), template=DEFAULT_TEMPLATE.read_text(),
    runner={"run.py": b"print()\n", "adapters/engine.py": b""}, revision="0123abc", version="0.1.0",
)


def test_the_dockerfile_is_the_golden_one() -> None:
    assert dockerfile(PLAN) == GOLDEN.read_text()


def test_a_python_that_cannot_hash_bytecode_or_install_elsewhere_is_not_asked_to() -> None:
    old = dockerfile(replace(PLAN, lock=parse_lock(LOCK, name="lock-cp36-x86_64.txt")))
    assert "--invalidation-mode" in dockerfile(PLAN)
    assert "--invalidation-mode" not in old
    assert "--target /opt/env/lib/python3.6/site-packages" in old


def test_rendering_needs_no_disk_and_gives_the_same_twice() -> None:
    assert context_files(PLAN, [Path("/missing/a.whl")]) == context_files(PLAN, [Path("/missing/a.whl")])


def test_a_context_holds_dockerfile_lock_runner_and_wheels() -> None:
    assert list(context_files(PLAN, [Path("/missing/a.whl")])) == [
        "Dockerfile", "lock.txt", "runners/adapters/engine.py", "runners/run.py", "wheels/a.whl"]


def test_the_dockerfile_serves_the_classic_builder_and_asks_no_network() -> None:
    text = dockerfile(PLAN)
    assert "--mount" not in text
    assert "# syntax" not in text
    assert "--no-index" in text
    assert "--require-hashes" in text


SOURCES = replace(PLAN, lock=parse_lock(LOCK + f"old==1.0 --hash=sha256:{'f' * 64}  # sdist\n", name="lock-cp311-x86_64.txt"))


def test_sources_are_built_by_the_environments_own_pip_and_apart_from_the_wheels() -> None:
    files = context_files(SOURCES, [Path("/missing/a.whl"), Path("/missing/old-1.0.tar.gz")])
    assert files["sdists.txt"] == f"old==1.0 \\\n    --hash=sha256:{'f' * 64}\n".encode()
    assert b"old" not in bytes(files["lock.txt"])
    assert "wheels/old-1.0.tar.gz" in files
    steps = dockerfile(SOURCES).split("\nRUN ")
    assert "--requirement /build/lock.txt" in steps[1]
    assert "/opt/env/bin/python -m pip" in steps[2]
    assert all(flag in steps[2] for flag in ("--no-index", "--no-build-isolation", "--require-hashes", "/build/sdists.txt"))


def test_a_template_with_an_unknown_name_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        dockerfile(replace(PLAN, template="FROM {{ bse }}"))


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30))
def test_a_label_cannot_break_out_of_its_quotes(value: str) -> None:
    text = dockerfile(replace(PLAN, template='X {{ label("org.opencontainers.image.revision") }}', revision=value))
    quoted = text.removeprefix('X org.opencontainers.image.revision="').removesuffix('"')
    unescaped = quoted.replace("\\\\", "").replace('\\"', "").replace("\\$", "")
    assert '"' not in unescaped
    assert "$" not in unescaped
    assert "\\" not in unescaped


OTHER_LOCK = LOCK.replace("b" * 64, "d" * 64)
CHANGES = {
    "template": replace(PLAN, template=PLAN.template + "# more\n"),
    "lock": replace(PLAN, lock=parse_lock(OTHER_LOCK, name="lock-cp311-x86_64.txt")),
    "python": replace(PLAN, lock=parse_lock(LOCK, name="lock-cp312-x86_64.txt")),
    "runner": replace(PLAN, runner={**PLAN.runner, "run.py": b"print(1)\n"}),
    "runner path": replace(PLAN, runner={"main.py": b"print()\n", "adapters/engine.py": b""}),
    "base": replace(PLAN, base=replace(BASE, digest="sha256:" + "e" * 64)),
    "a source instead of a wheel": replace(PLAN, lock=parse_lock(LOCK.rstrip() + "  # sdist\n", name="lock-cp311-x86_64.txt")),
    "environment": replace(PLAN, env=replace(PLAN.env, name="engine")),
}
SAME = {
    "revision": replace(PLAN, revision="feed"),
    "version": replace(PLAN, version="9"),
    "a comment in the lock": replace(PLAN, lock=parse_lock("# why\n" + LOCK, name="lock-cp311-x86_64.txt")),
    "where the base came from": replace(PLAN, base=replace(BASE, source="local")),
    "folder": replace(PLAN, env=replace(PLAN.env, folder=Path("elsewhere"))),
}


@pytest.mark.parametrize("what", CHANGES)
def test_the_content_key_changes_with(what: str) -> None:
    assert CHANGES[what].content_key != PLAN.content_key


@pytest.mark.parametrize("what", SAME)
def test_the_content_key_does_not_change_with(what: str) -> None:
    assert SAME[what].content_key == PLAN.content_key


def test_what_is_installed_is_the_same_with_another_runner_and_with_nothing_else() -> None:
    same = {what for what in CHANGES if CHANGES[what].installed_key == PLAN.installed_key}
    assert same == {"runner", "runner path"}


def test_names_of_environments_become_names_of_images() -> None:
    assert [slug(n) for n in ("torch", "ncnn/converter", "_models")] == ["torch", "ncnn-converter", "models"]
    assert PLAN.tag == f"infermatrix/engine-converter:{PLAN.content_key[:12]}"
