"""Every environment as a Dockerfile: locked for the Python that it asks of a base, and started from that base."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.backends import load_registry
from orchestrator.environments import MODELS_ENV, envs_of, models_env
from orchestrator.errors import BuildError
from orchestrator.images.context import plan_image
from orchestrator.images.pythons import need_of
from orchestrator.images.render import BaseImage, dockerfile
from orchestrator.model import BaseVariant, EnvSpec

IMAGES = Path(__file__).parents[2] / "images"
REGISTRY = load_registry(IMAGES)
ENVS = {MODELS_ENV: models_env(IMAGES), **{name: env for spec in REGISTRY.values() for name, env in envs_of(spec).items()}}
UNLOCKED = "tensorrt"  # its packages are on its vendor's index only


def base_of(env: EnvSpec) -> BaseImage:
    need = need_of(env)
    return BaseImage(variant=need.variant, reference="base@sha256:" + "c" * 64, digest="sha256:" + "c" * 64,
                     python=need.pythons[0] if need.pythons else "3.11", source="registry")


@pytest.mark.parametrize("name", sorted(set(ENVS) - {UNLOCKED}))
def test_an_environment_is_rendered_from_a_base_by_digest_and_its_hash_lock(name: str) -> None:
    plan = plan_image(ENVS[name], base=base_of(ENVS[name]))
    text = dockerfile(plan)
    assert f"ARG BASE={plan.base.reference}\n" in text
    assert "--no-index" in text
    assert "--require-hashes" in text
    assert all(pin.sha256 for pin in plan.lock.pins)
    assert any(path.startswith("adapters/") for path in plan.runner)


def test_what_has_no_lock_says_how_to_make_one() -> None:
    with pytest.raises(BuildError, match="tensorrt has no lock") as caught:
        plan_image(ENVS[UNLOCKED], base=base_of(ENVS[UNLOCKED]))
    assert "infermatrix lock tensorrt" in caught.value.hint


def test_the_two_rows_that_need_cuda_s_libraries_start_from_the_image_that_holds_them() -> None:
    assert {name for name, env in ENVS.items() if env.base is BaseVariant.CUDA} == {"onnxruntime_cuda", "onnxruntime_tensorrt"}
