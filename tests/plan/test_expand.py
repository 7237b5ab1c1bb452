from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.backends import Registry
from orchestrator.config.matrix import MatrixConfig
from orchestrator.config.overrides import parse_only
from orchestrator.errors import ConfigError
from orchestrator.model import Cell, Scenario
from orchestrator.plan.expand import Expansion, expand
from tests.config.madeup import AXES, make_registry, read

ORDER = ("model", "label", "precision", "threads", "scenario", "batch")
VALUES: dict[str, list[Any]] = {
    "model": ["spam", "resnet50", "minilm"], "label": ["alpha", "beta", "a2"], "precision": ["fp32", "fp16"],
    "threads": [1, 2, 3], "scenario": ["single_stream", "offline"], "batch": [1, 2, 8],
}
ROWS = {"alpha": "alpha", "beta": "beta", "a2": "alpha"}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return make_registry(tmp_path_factory.mktemp("registry"))


def expanded(text: str, registry: Registry, *only: str) -> Expansion:
    return expand(read(text, registry), registry, parse_only(only))


def coordinates(cell: Cell) -> tuple[Any, ...]:
    return tuple(cell.scenario.value if axis == "scenario" else getattr(cell, axis) for axis in ORDER)


def config_of(axes: dict[str, list[Any]], registry: Registry, **rules: list[dict[str, Any]]) -> MatrixConfig:
    """JSON is YAML: the axes and rules as a matrix.yaml."""
    value = {
        "models": axes["model"], "backends": [{"label": name, "backend": ROWS[name]} for name in axes["label"]],
        "scenarios": axes["scenario"], **{axis: axes[axis] for axis in ("precision", "threads", "batch")}, **rules,
    }
    return read(json.dumps(value), registry)


def combinations(axes: dict[str, list[Any]]) -> set[tuple[Any, ...]]:
    """Every combination, worked out another way than the code does it: the whole product, then batch 1 for single_stream."""
    full = itertools.product(*(axes[axis] for axis in ORDER))
    return {(*c[:4], c[4], 1 if c[4] == "single_stream" else c[5]) for c in full}


def agrees(combination: tuple[Any, ...], rule: dict[str, Any]) -> bool:
    named = dict(zip(ORDER, combination, strict=True))
    named["backend"] = ROWS[named["label"]]
    return all(named[axis] == value for axis, value in rule.items())


def places(expansion: Expansion) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """(to be measured or known as unsupported, excluded)."""
    shown = [*expansion.cells, *(u.cell for u in expansion.unsupported)]
    return [coordinates(cell) for cell in shown], [coordinates(e.cell) for e in expansion.excluded]


AXES_STRATEGY = st.fixed_dictionaries(
    {axis: st.lists(st.sampled_from(values), min_size=1, unique=True) for axis, values in VALUES.items()}
)
COORDINATE = {axis: st.sampled_from(values) for axis, values in VALUES.items()}
RULE = st.fixed_dictionaries({}, optional={**COORDINATE, "backend": st.sampled_from(["alpha", "beta"])}).filter(bool)
FULL_RULE = st.fixed_dictionaries(COORDINATE).map(
    lambda rule: {**rule, "backend": ROWS[rule["label"]], "batch": 1 if rule["scenario"] == "single_stream" else rule["batch"]}
)


@given(axes=AXES_STRATEGY)
def test_every_combination_is_in_exactly_one_place_under_an_id_of_its_own(known: Registry, axes: dict[str, list[Any]]) -> None:
    expansion = expand(config_of(axes, known), known)
    shown, excluded = places(expansion)
    assert not excluded
    assert len(shown) == len(set(shown))
    assert set(shown) == combinations(axes)
    cells = [*expansion.cells, *(u.cell for u in expansion.unsupported)]
    assert len({cell.id for cell in cells}) == len(cells)
    assert all(cell.batch == 1 for cell in cells if cell.scenario is Scenario.SINGLE_STREAM)
    assert all(u.cell.backend == "beta" and u.cell.precision == "fp16" for u in expansion.unsupported)
    assert not any(cell.backend == "beta" and cell.precision == "fp16" for cell in expansion.cells)


@given(axes=AXES_STRATEGY, data=st.data())
def test_ids_do_not_depend_on_the_order_in_the_file(known: Registry, axes: dict[str, list[Any]], data: st.DataObject) -> None:
    shuffled = {axis: data.draw(st.permutations(values)) for axis, values in axes.items()}
    first, second = (expand(config_of(a, known), known) for a in (axes, shuffled))
    assert {cell.id for cell in first.cells} == {cell.id for cell in second.cells}


@given(axes=AXES_STRATEGY, excludes=st.lists(RULE, max_size=3))
def test_an_exclude_removes_what_agrees_with_all_its_keys_and_nothing_else(
    known: Registry, axes: dict[str, list[Any]], excludes: list[dict[str, Any]]
) -> None:
    every = combinations(axes)
    gone = {c for c in every if any(agrees(c, rule) for rule in excludes)}
    config = config_of(axes, known, exclude=excludes)
    if gone == every:
        with pytest.raises(ConfigError, match="no cell is left"):
            expand(config, known)
        return
    shown, excluded = places(expand(config, known))
    assert set(shown) == every - gone
    assert set(excluded) == gone
    assert len(excluded) == len(gone)


@given(axes=AXES_STRATEGY, excludes=st.lists(RULE, max_size=2), new=FULL_RULE)
def test_an_include_comes_after_the_excludes_and_takes_nothing_away(
    known: Registry, axes: dict[str, list[Any]], excludes: list[dict[str, Any]], new: dict[str, Any]
) -> None:
    every = combinations(axes)
    gone = {c for c in every if any(agrees(c, rule) for rule in excludes)}
    added = tuple(new[axis] for axis in ORDER)
    shown, excluded = places(expand(config_of(axes, known, exclude=excludes, include=[new]), known))
    assert set(shown) == (every - gone) | {added}
    assert len(shown) == len(set(shown))
    assert set(excluded) == gone - {added}


@given(axes=AXES_STRATEGY, rule=RULE)
def test_an_include_extends_every_original_it_agrees_with(
    known: Registry, axes: dict[str, list[Any]], rule: dict[str, Any]
) -> None:
    rule = {**rule, "backend": "alpha", "settings": {"streams": 4}}
    rule.pop("label", None)
    match = {axis: value for axis, value in rule.items() if axis != "settings"}
    hit = {c for c in combinations(axes) if agrees(c, match)}
    if not hit or (rule.get("scenario") == "single_stream" and rule.get("batch", 1) != 1):
        return
    expansion = expand(config_of(axes, known, include=[rule]), known)
    cells = [*expansion.cells, *(u.cell for u in expansion.unsupported)]
    assert {coordinates(cell) for cell in cells} == combinations(axes)
    for cell in cells:
        assert cell.settings.get("streams", 1) == (4 if coordinates(cell) in hit else 1)


@given(axes=AXES_STRATEGY, data=st.data())
def test_a_filter_keeps_what_has_one_of_its_values_and_says_what_it_left_out(
    known: Registry, axes: dict[str, list[Any]], data: st.DataObject
) -> None:
    labels = data.draw(st.lists(st.sampled_from(axes["label"]), min_size=1, unique=True))
    model = data.draw(st.sampled_from(axes["model"]))
    only = parse_only([f"label={','.join(labels)}", f"model={model}"])
    expansion = expand(config_of(axes, known), known, only)
    shown, excluded = places(expansion)
    assert set(shown) == {c for c in combinations(axes) if c[0] == model and c[1] in labels}
    assert set(shown) | set(excluded) == combinations(axes)
    assert all(e.why == f"left out by {only}" for e in expansion.excluded)


def test_the_file_s_order_is_kept(known: Registry) -> None:
    cells = expanded("models: [minilm, spam]\nbackends: [beta, alpha]\nscenarios: [offline]\nbatch: [8, 1]\n", known).cells
    assert [(c.model, c.label, c.batch) for c in cells] == [
        (m, b, n) for m in ("minilm", "spam") for b in ("beta", "alpha") for n in (8, 1)
    ]


def test_an_included_batch_needs_no_scenario(known: Registry) -> None:
    expansion = expanded(AXES + "include: [{backend: alpha, model: spam, batch: 64}]\n", known)
    assert [(c.label, c.model, c.batch, c.scenario) for c in expansion.cells if c.batch == 64] == [
        ("alpha", "spam", 64, Scenario.OFFLINE)
    ]
    assert len(expansion.cells) == 9


def test_what_a_row_says_itself_is_not_overwritten_by_an_include(known: Registry) -> None:
    text = (
        "models: [spam]\nscenarios: [offline]\nbackends:\n  - {label: one, backend: alpha, settings: {streams: 1}}\n"
        "  - {label: two, backend: alpha}\ninclude:\n  - {backend: alpha, settings: {streams: 4}}\n"
    )
    assert {c.label: c.settings["streams"] for c in expanded(text, known).cells} == {"one": 1, "two": 4}


def test_a_later_include_may_overwrite_what_an_earlier_one_added(known: Registry) -> None:
    text = AXES + "include: [{backend: alpha, settings: {streams: 4}}, {backend: alpha, model: spam, settings: {streams: 8}}]\n"
    streams = {(c.model, c.settings["streams"]) for c in expanded(text, known).cells if c.backend == "alpha"}
    assert streams == {("spam", 8), ("minilm", 4)}


def test_includes_of_different_settings_add_up_and_leave_the_others_alone(known: Registry) -> None:
    text = AXES + "include: [{backend: alpha, settings: {streams: 4}}, {backend: alpha, settings: {scale: 2}}]\n"
    settings = [dict(c.settings) for c in expanded(text, known).cells if c.backend == "alpha"]
    assert settings == [{"level": "all", "streams": 4, "spin": True, "scale": 2, "tag": None}] * 4


def test_an_include_does_not_extend_what_another_include_added(known: Registry) -> None:
    new = "backend: alpha, model: spam, batch: 64"
    text = f"{AXES}include:\n  - {{{new}}}\n  - {{{new}, settings: {{streams: 4}}}}\n"
    added = [c.settings["streams"] for c in expanded(text, known).cells if c.batch == 64]
    assert added == [1, 4]


def test_an_include_may_bring_a_row_and_a_model_of_its_own(known: Registry) -> None:
    text = (
        "models: [spam]\nbackends: [beta]\nscenarios: [offline]\n"
        "include: [{label: tuned, backend: alpha, model: minilm, settings: {level: basic}, version: 1.10}]\n"
    )
    cells = expanded(text, known).cells
    assert [(c.label, c.backend, c.backend_version, c.model) for c in cells] == [
        ("beta", "beta", None, "spam"), ("tuned", "alpha", "1.10", "minilm")
    ]
    assert cells[1].settings["level"] == "basic"


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("include: [{model: spam, batch: 64}]", "must say which `label` (alpha, beta)"),
        ("include: [{backend: alpha, precision: fp16, model: spam}]", "must say which `scenario` (single_stream, offline)"),
        ("include: [{backend: alpha, batch: 64}]", "must say which `model` (spam, minilm)"),
    ],
)
def test_an_include_that_adds_a_cell_must_leave_nothing_open(known: Registry, rules: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        expanded(AXES + rules, known)
    assert caught.value.message.startswith("matrix.yaml:3: this include adds a cell of its own, so it ")
    assert caught.value.message.endswith(message)


def test_the_same_cell_asked_for_twice_names_both_places(known: Registry) -> None:
    row = "  - {backend: alpha, model: spam, batch: 64}\n"
    with pytest.raises(ConfigError, match=r"^matrix\.yaml:5: this include adds the same cell as the one at matrix\.yaml:4$"):
        expanded(f"{AXES}include:\n{row}{row}", known)


@pytest.mark.parametrize(
    ("rules", "note"),
    [("exclude: [{model: resnet50}]", "this exclude agrees with no combination"),
     ("include: [{model: spam}]", "this include adds nothing, its combinations are there already")],
)
def test_a_rule_without_effect_is_noted(known: Registry, rules: str, note: str) -> None:
    assert expanded(AXES + rules, known).warnings == (f"matrix.yaml:3: {note}",)


def test_the_place_of_an_exclude_is_its_reason(known: Registry) -> None:
    expansion = expanded(AXES + "exclude:\n  - {label: beta, threads: all, scenario: offline}\n", known)
    assert {(e.cell.label, e.why) for e in expansion.excluded} == {("beta", "excluded at matrix.yaml:4")}
    assert len(expansion.excluded) == 2


def test_more_threads_than_cores_are_left_out_with_the_reason(known: Registry) -> None:
    expansion = expanded(AXES + "threads: [4, 5]\n", known)
    assert {cell.threads for cell in expansion.cells} == {4}
    assert {e.why for e in expansion.excluded} == {"5 threads, but this run may use 4 cores"}


def test_what_a_backend_declares_it_cannot_do_stays_visible(known: Registry) -> None:
    expansion = expanded("models: [spam]\nbackends: [alpha, beta]\nprecision: [fp16]\ndevices: [cpu, 'cuda:0']\n", known)
    assert {(u.cell.label, u.cell.device, u.reason) for u in expansion.unsupported} == {
        ("beta", "cpu", "Beta has no precision fp16 here (it has fp32)"),
        ("alpha", "cuda:0", "Alpha does not run on cuda:0 here (it runs on cpu)"),
        ("beta", "cuda:0", "Beta does not run on cuda:0 here (it runs on cpu)"),
    }
    assert {(c.label, c.device) for c in expansion.cells} == {("alpha", "cpu")}


def test_a_row_s_own_devices_stand_in_place_of_the_matrix_s(known: Registry) -> None:
    rows = "models: [spam]\nbackends: [alpha, {backend: beta, devices: [cpu, 'cuda:1']}]\ndevices: ['cuda:0']\n"
    expansion = expanded(rows, known)
    assert {(c.label, c.device) for c in expansion.cells} == {("beta", "cpu")}
    assert {(u.cell.label, u.cell.device) for u in expansion.unsupported} == {("alpha", "cuda:0"), ("beta", "cuda:1")}
    with pytest.raises(ConfigError, match="unknown kind of device `gpu`"):
        expanded("models: [spam]\nbackends: [{backend: beta, devices: [gpu]}]\n", known)


@pytest.mark.parametrize(
    ("only", "sentence"),
    [
        ("backend=alhpa", "no cell has it; did you mean `alpha`?"),
        ("batch=64", "no cell has it"),
        ("model=resnet50", "no cell has it"),
    ],
)
def test_a_filter_for_what_is_not_there_says_what_is(known: Registry, only: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        expanded(AXES, known, only)
    assert caught.value.message == f"--only {only}: {sentence}"
    assert caught.value.hint.startswith("There are: ")


def test_what_a_filter_is_not_about_is_not_listed_as_excluded(known: Registry) -> None:
    text = AXES + "exclude: [{model: spam}]\n"
    whys = {(e.cell.backend, e.cell.model, e.why) for e in expanded(text, known, "backend=alpha").excluded}
    assert whys == {
        ("alpha", "spam", "excluded at matrix.yaml:3"), ("beta", "minilm", "left out by --only backend=alpha")
    }


def test_filters_that_leave_nothing_say_so(known: Registry) -> None:
    with pytest.raises(ConfigError, match="no cell is left to measure") as caught:
        expanded(AXES + "exclude: [{backend: alpha, model: spam}]\n", known, "backend=alpha", "model=spam")
    assert "--only backend=alpha --only model=spam" in caught.value.hint


def test_a_hundred_thousand_cells_have_as_many_ids(known: Registry) -> None:
    rows = ", ".join(f"{{label: r{i}, backend: alpha}}" for i in range(100))
    sizes = ", ".join(str(i) for i in range(1, 1001))
    text = f"models: [spam]\nbackends: [{rows}]\nbatch: [{sizes}]\nscenarios: [offline]\nexclude: [{{label: r1, batch: 7}}]\n"
    cells = expanded(text, known).cells
    assert len(cells) == 99_999
    assert len({cell.id for cell in cells}) == 99_999
