from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from orchestrator.backends import Registry
from orchestrator.config.matrix import load_matrix
from orchestrator.config.profiles import QUICK
from orchestrator.errors import ConfigError
from orchestrator.model import IsolationKind, Scenario
from tests.config.madeup import AXES, BUILTIN, MACHINE, complaint, read

EVERYTHING = """\
name: mine
profile: {extends: quick, trials: 7, min_duration_s: 1}
isolation: interpreter
interpreters: {alpha: /opt/python, slow: ./venv/bin/python}
base: {bootstrap: bookworm}
seed: 5
minimum_effect: 5e-2
hosts: [{name: local}]
models:
  - spam
  - {name: mine, path: ./m.onnx, shapes: {input: [1, 3, 8, 8]}, inputs: x.npz, tolerance: {rel_l2: 1e-3}}
  - other.onnx
backends:
  - alpha
  - {label: slow, backend: alpha, settings: {level: basic}, version: 1.30}
devices: [cpu]
precision: [fp32, fp16]
threads: [1, all]
batch: [1, 8]
scenarios: [offline]
limits: {memory_mb: 2048, cpus: [1, 2]}
"""


def test_every_part_of_the_format_arrives(tmp_path: Path, registry: Registry) -> None:
    for name in ("m.onnx", "other.onnx", "x.npz"):
        (tmp_path / name).touch()
    path = tmp_path / "matrix.yaml"
    path.write_text(EVERYTHING)
    config = load_matrix(path, registry, models=BUILTIN, machine=MACHINE)
    assert config.name == "mine"
    assert (config.profile.name, config.profile.trials, config.profile.min_duration_s) == ("quick-custom", 7, 1.0)
    assert config.profile.warmup_s == QUICK.warmup_s
    assert config.isolation is IsolationKind.INTERPRETER
    assert config.interpreter("alpha") == Path("/opt/python")
    assert config.interpreter("slow") == tmp_path / "venv/bin/python"
    assert config.base == "bootstrap:bookworm"
    assert (config.seed, config.minimum_effect, config.hosts) == (5, 0.05, ("local",))
    spam, mine, other = config.models
    assert (spam.name, spam.path) == ("spam", None)
    assert (mine.path, mine.inputs) == (tmp_path / "m.onnx", tmp_path / "x.npz")
    assert (mine.shapes, mine.tolerance) == ({"input": (1, 3, 8, 8)}, {"rel_l2": 0.001})
    assert (other.name, other.path) == ("other", tmp_path / "other.onnx")
    alpha, slow = (row.entry for row in config.backends)
    assert alpha.settings == {"level": "all", "streams": 1, "spin": True, "scale": 0.5, "tag": None}
    assert (slow.label, slow.backend, slow.version) == ("slow", "alpha", "1.30")
    assert slow.settings["level"] == "basic"
    assert config.precisions == ("fp32", "fp16")
    assert config.threads == (1, 2)
    assert config.batches == (1, 8)
    assert tuple(load.scenario for load in config.scenarios) == (Scenario.OFFLINE,)
    assert (config.limits.cpus, config.limits.memory_mb) == ((1, 2), 2048)


@pytest.mark.parametrize(("base", "said"), [
    ("{image: 'a:1'}", "a:1"),
    ("{cuda: 'r/c@sha256:00'}", "auto,cuda=r/c@sha256:00"),
    ("{bootstrap: trixie, cuda: 'r/c:1'}", "bootstrap:trixie,cuda=r/c:1"),
])
def test_a_base_with_cuda_is_named_beside_the_other_one(registry: Registry, base: str, said: str) -> None:
    assert read(f"{AXES}base: {base}\n", registry).base == said


def test_what_is_not_said_has_a_default(registry: Registry) -> None:
    config = read(AXES, registry)
    assert config.name == "matrix"
    assert config.profile == QUICK
    assert config.isolation is None
    assert config.base == "auto"
    assert (config.devices, config.precisions, config.batches) == (("cpu",), ("fp32",), (1,))
    assert config.threads == (4,)
    assert tuple(load.scenario for load in config.scenarios) == (Scenario.SINGLE_STREAM, Scenario.OFFLINE)
    assert (config.limits.cpus, config.limits.memory_mb) == ((0, 1, 2, 3), 4000)
    with pytest.raises(FrozenInstanceError):
        config.seed = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("bacth: [1]", "unknown key `bacth`; did you mean `batch`?"),
        ("batch: 1", "`batch` must be a list, not the number 1"),
        ("batch: ['1']", "an entry of `batch` must be a whole number, not the text `1`"),
        ("batch: [1.5]", "an entry of `batch` must be a whole number, not the number 1.5"),
        ("batch: [0]", "an entry of `batch` must be at least 1, not 0"),
        ("batch: [8, 8]", "`batch` lists `8` twice"),
        ("batch: []", "`batch` must not be empty"),
        ("threads: [al]", "an entry of `threads` must be a number or `all`, not the text `al`"),
        ("threads: [true]", "an entry of `threads` must be a whole number or text, not `true`"),
        ("profile: quik", "unknown profile `quik`; did you mean `quick`?"),
        ("profile: {trials: 5}", "`profile` needs the key `extends`"),
        ("profile: {extends: quick, trials: five}", "`trials` must be a whole number, not the text `five`"),
        ("profile: {extends: quick, trials: 2}", "`trials` must be at least 3 in a profile that extends `quick`, not 2"),
        ("profile: {extends: official, trials: 19}", "`trials` must be at least 20 in a profile that extends `official`, not 19"),
        ("profile: {extends: quick, name: official, trials: 4}", "`official` is a built-in profile's name; choose another"),
        ("profile: {extends: quick, max_cell_s: 0.1}", "`max_cell_s` must not be less than `min_duration_s`"),
        ("isolation: dokcer", "`isolation` must be one of auto, docker, venv, interpreter, not the text `dokcer`; "
                              "did you mean `docker`?"),
        ("interpreters: {alhpa: /x}", "`alhpa` is neither a label nor a backend; did you mean `alpha`?"),
        ("limits: {cpus: [7]}", "core 7 is not among those this run may use (0, 1, 2, 3)"),
        ("devices: [gpu]", "unknown kind of device `gpu`; did you mean `cpu`?"),
        ("precision: [fp31]", "an entry of `precision` must be one of fp32, tf32, fp16, bf16, int8, not the text `fp31`; "
                              "did you mean `fp32`?"),
        ("scenarios: [ofline]", "an entry of `scenarios` must be one of single_stream, offline, multi_instance, server, "
                                  "ensemble, cold_start, not the text `ofline`; "
                                "did you mean `offline`?"),
        ("hosts: [far]", "unknown host `far`; trials run on `local` only, the machine this is started on"),
        ("seed: -1", "`seed` must be at least 0, not -1"),
        ("minimum_effect: 1", "`minimum_effect` must be less than 1, not 1"),
        ("base: {image: a, bootstrap: b}", "`base` takes one of `image` and `bootstrap`, not both"),
        ("base: {cuda: 'a,b'}", "`cuda` must be an image's reference, not the text `a,b`"),
        ("name: a/b", "`name` must start with a letter or digit and hold only letters, digits and . _ + -, not the text `a/b`"),
        ("exclude: [{backend: bta}]", "unknown backend `bta`; did you mean `beta`?"),
        ("exclude: [{bakcend: beta}]", "unknown key `bakcend` in an entry of `exclude`; did you mean `backend`?"),
        ("exclude: [{}]", "an entry of `exclude` must hold at least one of label, backend, model, host, device, precision, "
                          "threads, batch, scenario, instances, feeding"),
        ("include: [{label: new, model: spam}]", "unknown label `new`"),
        ("include: [{label: beta, backend: alpha}]", "`beta` is already the label of a row of backend `beta`"),
        ("include: [{backend: alpha, version: 1.2}]", "another `version` needs a new `label` and its `backend` beside it"),
        ("include: [{model: spam, settings: {level: all}}]", "`settings` in an include need a `backend` or a `label`"),
        ("include: [{backend: alpha, settings: {levl: all}}]", "backend `alpha` has no setting `levl`; did you mean `level`?"),
        ("include: [{scenario: single_stream, batch: 2}]", "the batch of single_stream is always 1"),
        ("include: [{model: spma}]", "`spma` is neither a built-in model nor a file; did you mean `spam`?"),
    ],
)
def test_a_mistake_is_one_sentence_with_line_expectation_and_nearest_match(
    registry: Registry, more: str, sentence: str
) -> None:
    assert complaint(AXES + more, registry) == f"matrix.yaml:3: {sentence}"


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("alhpa", "unknown backend `alhpa`; did you mean `alpha`?"),
        ("alpha", "label `alpha` is used twice, first at matrix.yaml:3"),
        ("{label: alpha, backend: beta}", "label `alpha` is used twice, first at matrix.yaml:3"),
        ("{label: x}", "an entry of `backends` needs the key `backend`"),
        ("{label: a b, backend: beta}", "`label` must start with a letter or digit and hold only letters, digits and . _ + -, "
                                        "not the text `a b`"),
        ("{label: x, backend: alpha, settings: {lvel: all}}", "backend `alpha` has no setting `lvel`; did you mean `level`?"),
        ("{label: x, backend: alpha, settings: {level: bsic}}", "setting `level` must be one of basic, all, not the text `bsic`; "
                                                                "did you mean `basic`?"),
        ("{label: x, backend: alpha, settings: {spin: yes}}", "setting `spin` must be true or false, not the text `yes`"),
        ("{label: x, backend: alpha, settings: {spin: 1}}", "setting `spin` must be true or false, not the number 1"),
        ("{label: x, backend: alpha, settings: {streams: 1.5}}", "setting `streams` must be a whole number, not the number 1.5"),
        ("{label: x, backend: alpha, settings: {streams: true}}", "setting `streams` must be a whole number, not `true`"),
        ("{label: x, backend: alpha, settings: {level: null}}", "setting `level` must be text, not nothing"),
        ("{label: x, backend: alpha, version: newest}", "`newest` is not a version such as 1.30.0"),
    ],
)
def test_a_mistake_in_a_backend_row_names_its_line(registry: Registry, row: str, sentence: str) -> None:
    assert complaint(f"models: [spam]\nbackends:\n  - alpha\n  - {row}\n", registry) == f"matrix.yaml:4: {sentence}"


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("spma", "`spma` is neither a built-in model nor a file; did you mean `spam`?"),
        ("./mine.onxx", "the file `./mine.onxx` does not exist"),
        ("./mnie.onnx", "the file `./mnie.onnx` does not exist; did you mean `mine.onnx`?"),
        ("./images", "`./images` is a folder, not a file"),
        ("resnet50", "model name `resnet50` is used twice, first at matrix.yaml:3"),
        ("{name: resnet5}", "`resnet5` is not a built-in model; did you mean `resnet50`?"),
        ("{name: spam, shapes: {x: [1]}}", "the built-in model `spam` has its own shapes"),
        ("{shapes: {x: [1]}}", "a model needs a `name` (built in) or a `path`"),
        ("{name: m, path: mine.onnx, shapes: {x: [0]}}", "an entry of `x` must be at least 1, not 0"),
        ("{name: m, path: mine.onnx, shapes: {x: 3}}", "`x` must be a list, not the number 3"),
        ("{name: m, path: mine.onnx, tolerance: {rel_l3: 1}}", "unknown key `rel_l3` in `tolerance`; did you mean `rel_l2`?"),
        ("{name: m, path: mine.onnx, inputs: x.npz}", "the file `x.npz` does not exist"),
        ("[]", "an entry of `models` must be text or a mapping, not a list"),
    ],
)
def test_a_mistake_in_a_model_names_its_line(tmp_path: Path, registry: Registry, row: str, sentence: str) -> None:
    (tmp_path / "mine.onnx").touch()
    text = f"backends: [beta]\nmodels:\n  - resnet50\n  - {row}\n"
    assert complaint(text, registry, folder=tmp_path) == f"matrix.yaml:4: {sentence}"


def test_the_first_of_several_mistakes_is_named(registry: Registry) -> None:
    assert complaint("batch: 1\nmodels: spam\nbakcends: [beta]\n", registry).startswith("matrix.yaml:1: `batch`")


def test_a_misspelt_key_is_named_before_the_key_that_is_missing_for_it(registry: Registry) -> None:
    said = complaint("models: [spam]\nbakcends: [beta]\n", registry)
    assert said == "matrix.yaml:2: unknown key `bakcends`; did you mean `backends`?"


def test_a_list_that_is_none_gets_a_hint(registry: Registry) -> None:
    with pytest.raises(ConfigError) as caught:
        read(AXES + "threads: 2", registry)
    assert caught.value.hint == "Write it in brackets: [2]."


@pytest.mark.parametrize("text", ["models: [spam]\n", "backends: [beta]\n", "[1]\n", "word\n"])
def test_models_and_backends_are_needed(registry: Registry, text: str) -> None:
    assert "needs the key" in complaint(text, registry) or "must be a mapping" in complaint(text, registry)


def test_text_that_looks_like_a_number_or_a_switch_stays_text(registry: Registry) -> None:
    row = "{label: on, backend: alpha, settings: {tag: 1.10}, version: 2.0}"
    config = read(f"name: 3.10\nmodels: [spam]\nbackends: [{row}]\n", registry)
    entry = config.backends[0].entry
    assert (config.name, entry.label, entry.version, entry.settings["tag"]) == ("3.10", "on", "2.0", "1.10")


def test_a_whole_number_will_do_for_a_number_but_stays_equal(registry: Registry) -> None:
    entry = read("models: [spam]\nbackends: [{backend: alpha, settings: {scale: 2, streams: 3.0}}]\n", registry).backends[0].entry
    assert (entry.settings["scale"], entry.settings["streams"]) == (2, 3)
    assert isinstance(entry.settings["streams"], int)


def test_all_cores_beside_their_number_are_one_value(registry: Registry) -> None:
    assert read(AXES + "threads: [4, all, 1]", registry).threads == (4, 1)


def test_all_cores_are_those_of_the_limits(registry: Registry) -> None:
    assert read(AXES + "limits: {cpus: [2]}", registry).threads == (1,)


def test_a_label_without_an_interpreter_is_told_how_to_name_one(registry: Registry) -> None:
    config = read(AXES + "isolation: interpreter\ninterpreters: {alpha: /x}", registry)
    with pytest.raises(ConfigError, match="needs a Python for `beta`") as caught:
        config.interpreter("beta")
    assert "--set interpreters.beta=" in caught.value.hint


def test_a_backend_s_interpreter_serves_its_labels(registry: Registry) -> None:
    config = read("models: [spam]\nbackends: [{label: a, backend: alpha}]\ninterpreters: {alpha: /x}", registry)
    assert config.interpreter("a") == Path("/x")


def test_models_and_rows_that_only_an_include_names_are_known(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "m.onnx").touch()
    text = "models: [spam]\nbackends: [beta]\ninclude:\n  - {label: new, backend: alpha, model: m.onnx, version: 1.5}\n"
    config = read(text, registry, folder=tmp_path)
    assert config.model("m").path == tmp_path / "m.onnx"
    assert config.row("new").entry.version == "1.5"
    assert [model.name for model in config.models] == ["spam"]


def test_file_names_become_model_names_that_are_safe_in_paths(tmp_path: Path, registry: Registry) -> None:
    name = "ünï code " + "x" * 80 + ".onnx"
    (tmp_path / name).touch()
    config = read(f"models: ['./{name}']\nbackends: [beta]\n", registry, folder=tmp_path)
    assert len(config.models[0].name) <= 60
    assert config.models[0].name.isascii()
    assert " " not in config.models[0].name


def test_a_built_in_model_may_have_another_name_and_given_weights(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "w.safetensors").touch()
    text = """
models:
  - spam
  - {name: trained, builtin: resnet50, weights: w.safetensors}
  - {builtin: minilm, weights: "hf:owner/repo"}
backends: [alpha]
"""
    got = read(text, registry, folder=tmp_path)
    assert [(m.name, m.network, m.builtin, m.path, m.weights) for m in got.models] == [
        ("spam", "spam", None, None, None),
        ("trained", "resnet50", "resnet50", None, tmp_path / "w.safetensors"),
        ("minilm", "minilm", None, None, "hf:owner/repo"),
    ]


@pytest.mark.parametrize(("entry", "words"), [
    ("{builtin: resnet5}", "`resnet5` is not a built-in model; did you mean `resnet50`"),
    ("{name: spam, builtin: resnet50}", "`spam` is the name of another built-in model than `resnet50`"),
    ("{path: m.onnx, weights: w.pth}", "`weights` is for built-in models"),
    ("{path: m.onnx, builtin: spam}", "`builtin` is for built-in models"),
    ("{name: spam, weights: w.pht}", "the file `w.pht` does not exist"),
    ("{name: x, builtin: spam, shapes: {a: [1]}}", "`spam` has its own shapes"),
])
def test_what_a_built_in_model_cannot_be_is_refused(tmp_path: Path, registry: Registry, entry: str, words: str) -> None:
    for name in ("m.onnx", "w.pth"):
        (tmp_path / name).touch()
    said = complaint(f"models:\n  - {entry}\nbackends: [alpha]\n", registry, folder=tmp_path)
    assert words in said
    assert ":2: " in said
