from __future__ import annotations

import pytest

from orchestrator.backends import Registry
from orchestrator.config.overrides import parse_only, parse_shapes, settable
from orchestrator.config.profiles import STANDARD
from orchestrator.errors import ConfigError
from orchestrator.model import Scenario
from tests.config.madeup import AXES, complaint, read


def test_axes_and_values_are_replaced(registry: Registry) -> None:
    config = read(
        AXES + "batch: [2]\nprofile: quick\n", registry, "threads=1,2", "batch=1,8", "profile=standard", "minimum_effect=0.05",
        "scenario=offline", "models=resnet50", "backend=beta",
    )
    assert (config.threads, config.batches, config.profile, config.minimum_effect) == ((1, 2), (1, 8), STANDARD, 0.05)
    assert tuple(load.scenario for load in config.scenarios) == (Scenario.OFFLINE,)
    assert [model.name for model in config.models] == ["resnet50"]
    assert [row.entry.label for row in config.backends] == ["beta"]


@pytest.mark.parametrize("sets", [("trials=7",), ("profile.trials=7",), ("profile=quick", "trials=7"), ("trials=9", "trials=7")])
def test_one_value_of_the_profile_can_be_changed(registry: Registry, sets: tuple[str, ...]) -> None:
    profile = read(AXES, registry, *sets).profile
    assert (profile.name, profile.trials) == ("quick-custom", 7)


def test_a_later_profile_replaces_an_earlier_change(registry: Registry) -> None:
    assert read(AXES, registry, "trials=7", "profile=standard").profile == STANDARD


def test_values_below_a_mapping_are_named_with_a_dot(registry: Registry) -> None:
    config = read(AXES, registry, "limits.memory_mb=512", "cpus=0,1", "interpreters.alpha=/x", "base.image=python:3.11")
    assert (config.limits.memory_mb, config.limits.cpus, config.base) == (512, (0, 1), "python:3.11")
    assert str(config.interpreter("alpha")) == "/x"


def test_text_stays_text(registry: Registry) -> None:
    assert read(AXES, registry, "name=3.10").name == "3.10"


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("thread=1", "there is no `thread` to set; did you mean `threads`?"),
        ("trails=7", "there is no `trails` to set; did you mean `trials`?"),
        ("profile=quikc", "unknown profile `quikc`; did you mean `quick`?"),
        ("batch=x", "an entry of `batch` must be a whole number, not the text `x`"),
        ("trials=2", "`trials` must be at least 3 in a profile that extends `quick`, not 2"),
        ("backends=alpha,bta", "unknown backend `bta`; did you mean `beta`?"),
        ("seed=1,2", "`seed` takes one value, not 2"),
        ("exclude=x", "`exclude` can be written in a matrix.yaml only"),
        ("batch", "must be a name, `=` and one value or several with commas"),
        ("batch=1,,2", "must be a name, `=` and one value or several with commas"),
        ("limits.memory=1", "there is no `limits.memory` to set; did you mean `memory_mb`?"),
        ("profile.speed=1", "there is no `profile.speed` to set"),
    ],
)
def test_a_mistake_names_the_option(registry: Registry, option: str, sentence: str) -> None:
    assert complaint(AXES, registry, option) == f"--set {option}: {sentence}"


def test_the_file_s_own_mistakes_keep_their_lines(registry: Registry) -> None:
    assert complaint(AXES + "batch: 1\n", registry, "threads=1").startswith("matrix.yaml:3: ")


def test_a_file_that_is_no_mapping_is_not_papered_over(registry: Registry) -> None:
    assert complaint("[1]", registry, "models=spam", "backends=beta") == "matrix.yaml:1: the file must be a mapping, not a list"


def test_everything_settable_is_accepted_as_a_key(registry: Registry) -> None:
    for key in settable():
        value = {"base.image": "python", "base.bootstrap": "bookworm", "base.cuda": "cuda:1", "name": "x",
                 "profile.name": "x"}.get(key)
        if value is not None:
            read(AXES, registry, f"{key}={value}")
            continue
        with pytest.raises(ConfigError) as caught:
            read(AXES, registry, f"{key}=!")
        assert "there is no" not in caught.value.message, key


def test_filters_of_one_axis_add_up() -> None:
    only = parse_only(["backend=alpha,beta", "models=spam", "backend=gamma"])
    assert only.allowed == {"backend": ("alpha", "beta", "gamma"), "model": ("spam",)}
    assert str(only) == "--only backend=alpha,beta,gamma --only model=spam"


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("bakend=x", "unknown axis `bakend`; did you mean `backend`?"),
        ("backend", "must be a name"),
        ("backend=", "must be a name"),
    ],
)
def test_a_mistake_in_a_filter_is_told(option: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_only([option])
    assert caught.value.message.startswith(f"--only {option}: {sentence}")


def test_shapes_are_read() -> None:
    assert parse_shapes(["input=1x3x224x224", "a=b=5", "scalar="]) == {"input": (1, 3, 224, 224), "a=b": (5,), "scalar": ()}


@pytest.mark.parametrize("text", ["1x3", "=1x3", "x=1x", "x=0", "x=-1", "x=axb", "x=1,2", "x=²"])
def test_a_shape_that_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="must be an input's name and its dimensions") as caught:
        parse_shapes([text])
    assert "--shape input=1x3x224x224" in caught.value.hint


def test_a_shape_given_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="given twice"):
        parse_shapes(["x=1", "x=2"])
