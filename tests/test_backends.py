from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.backends import env_of, load_backend, load_registry
from orchestrator.errors import ConfigError
from orchestrator.model import BaseVariant
from tests.config.madeup import ALPHA, BETA, write_backend


def complaint(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_backend(write_backend(folder, text))
    return caught.value.message.replace(f"{folder}/", "")


def test_a_folder_becomes_a_backend(tmp_path: Path) -> None:
    spec = load_backend(write_backend(tmp_path / "alpha", ALPHA + "base: toolchain\nextra_index_urls: [https://example.org/whl]\n"))
    assert (spec.name, spec.adapter, spec.title, spec.licence) == ("alpha", "alpha", "Alpha", "MIT")
    assert (spec.formats, spec.precisions, spec.devices) == (("onnx",), ("fp32", "fp16"), ("cpu",))
    assert spec.env.name == "alpha"
    assert spec.env.folder == tmp_path / "alpha"
    assert spec.env.base is BaseVariant.TOOLCHAIN
    assert spec.env.extra_index_urls == ("https://example.org/whl",)
    assert (spec.env.version, spec.env.version_of) == (None, "alpha-rt")
    level = spec.settings["level"]
    assert (level.type, level.default, level.choices, level.doc) == ("string", "all", ("basic", "all"), "How hard it tries")
    assert spec.settings["tag"].default is None
    assert spec.converter is None


def test_another_version_is_another_environment_of_the_same_folder(tmp_path: Path) -> None:
    spec = load_backend(write_backend(tmp_path / "beta"))
    assert env_of(spec, None) == spec.env
    other = env_of(spec, "1.2")
    assert (other.version, other.folder) == ("1.2", spec.env.folder)


def test_a_converter_has_an_environment_of_its_own(tmp_path: Path) -> None:
    folder = write_backend(
        tmp_path / "beta", BETA + "extra_index_urls: [https://example.org]\nconverter: {output: beta}\n"
    )
    (folder / "converter").mkdir()
    converter = load_backend(folder).converter
    assert converter is not None
    assert converter.output == "beta"
    assert (converter.env.name, converter.env.folder) == ("beta/converter", folder / "converter")
    assert converter.env.extra_index_urls == ("https://example.org",)
    assert converter.env.base is BaseVariant.SLIM


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (BETA + "licnece: MIT\n", "8: unknown key `licnece`; did you mean `licence`?"),
        (BETA + "title: Again\n", "8: key `title` is given twice, first on line 1"),
        (BETA.replace("[fp32]", "[fp33]"),
         "6: an entry of `precisions` must be one of fp32, tf32, fp16, bf16, int8, not the text `fp33`; did you mean `fp32`?"),
        (BETA.replace("[beta]", "beta"), "5: `formats` must be a list, not the text `beta`"),
        (BETA.replace("licence: Apache-2.0\n", ""), "1: the file needs the key `licence`"),
        (BETA + "base: slin\n", "8: `base` must be one of slim, toolchain, cuda, not the text `slin`; did you mean `slim`?"),
        (BETA + "settings:\n  a: {type: strng, default: x}\n",
         "9: `type` must be one of string, integer, number, boolean, not the text `strng`; did you mean `string`?"),
        (BETA + "settings:\n  a: {type: integer, default: x}\n",
         "9: the default of setting `a` must be a whole number, not the text `x`"),
        (BETA + "settings:\n  a: {type: string, default: x, choices: [y]}\n",
         "9: the default of setting `a` must be one of y, not the text `x`"),
        (BETA + "settings:\n  a: {type: integer, default: 1, choices: [1, y]}\n",
         "9: a choice of setting `a` must be a whole number, not the text `y`"),
        (BETA + "settings:\n  a b: {type: integer, default: 1}\n",
         "8: `settings` must have one word as each key, not the text `a b`"),
        (BETA + "converter: {output: beta}\n", "8: a converter needs the folder converter"),
    ],
)
def test_a_mistake_is_one_sentence_with_file_and_line(tmp_path: Path, text: str, sentence: str) -> None:
    assert complaint(tmp_path / "beta", text) == f"backend.yaml:{sentence}"


def test_a_converter_must_write_what_the_backend_loads(tmp_path: Path) -> None:
    (tmp_path / "beta" / "converter").mkdir(parents=True)
    (tmp_path / "beta" / "backend.yaml").write_text(BETA + "converter: {output: gamma}\n")
    with pytest.raises(ConfigError, match="`gamma` is not among `formats`"):
        load_backend(tmp_path / "beta")


def test_a_converter_folder_that_is_not_declared_is_not_overlooked(tmp_path: Path) -> None:
    (tmp_path / "beta" / "converter").mkdir(parents=True)
    (tmp_path / "beta" / "backend.yaml").write_text(BETA)
    with pytest.raises(ConfigError, match="the key `converter` does not"):
        load_backend(tmp_path / "beta")


def test_choices_that_look_like_switches_stay_text(tmp_path: Path) -> None:
    text = BETA + "settings:\n  cache: {type: string, default: off, choices: [on, off]}\n  v: {type: string, default: 1.10}\n"
    settings = load_backend(write_backend(tmp_path / "beta", text)).settings
    assert settings["cache"].choices == ("on", "off")
    assert settings["v"].default == "1.10"


@pytest.mark.parametrize("name", ["My-Backend", "a b", "1st"])
def test_a_folder_that_cannot_name_a_module_is_refused(tmp_path: Path, name: str) -> None:
    assert "must be named by one lower-case word" in complaint(tmp_path / name, BETA)


def test_the_registry_holds_every_folder_but_those_with_an_underscore(tmp_path: Path) -> None:
    for name in ("zeta", "beta", "_models", ".cache"):
        write_backend(tmp_path / name)
    (tmp_path / "Dockerfile.j2").touch()
    assert list(load_registry(tmp_path)) == ["beta", "zeta"]


def test_a_folder_without_a_backend_yaml_is_an_error_not_a_hole(tmp_path: Path) -> None:
    (tmp_path / "beta").mkdir()
    with pytest.raises(ConfigError, match=r"holds no backend\.yaml"):
        load_registry(tmp_path)


def test_a_user_s_backend_brings_its_adapter_to_each_of_its_environments(tmp_path: Path) -> None:
    write_backend(tmp_path / "images" / "alpha", ALPHA)
    folder = write_backend(tmp_path / "mine" / "beta", BETA + "converter: {output: beta}\n")
    (folder / "converter").mkdir()
    (folder / "adapter.py").touch()
    registry = load_registry(tmp_path / "images", [tmp_path / "mine"])
    assert list(registry) == ["alpha", "beta"]
    assert registry["alpha"].env.extra_files == ()
    assert registry["beta"].env.extra_files == (folder / "adapter.py",)
    converter = registry["beta"].converter
    assert converter is not None
    assert converter.env.extra_files == (folder / "adapter.py",)


def test_a_user_s_backend_without_an_adapter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    write_backend(tmp_path / "mine" / "beta")
    with pytest.raises(ConfigError, match=r"holds no adapter\.py"):
        load_registry(tmp_path / "images", [tmp_path / "mine"])


def test_a_user_s_backend_may_not_hide_another(tmp_path: Path) -> None:
    write_backend(tmp_path / "images" / "beta")
    (write_backend(tmp_path / "mine" / "beta") / "adapter.py").touch()
    with pytest.raises(ConfigError, match="a backend `beta` exists already"):
        load_registry(tmp_path / "images", [tmp_path / "mine"])


def test_a_backend_s_own_folder_is_not_a_folder_of_backends(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    folder = write_backend(tmp_path / "mine" / "beta")
    with pytest.raises(ConfigError, match="is a backend itself") as caught:
        load_registry(tmp_path / "images", [folder])
    assert str(tmp_path / "mine") in caught.value.hint


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be listed"):
        load_registry(tmp_path / "nowhere")


def test_the_nearest_backend_is_named(tmp_path: Path) -> None:
    write_backend(tmp_path / "beta")
    with pytest.raises(ConfigError, match=r"^here: unknown backend `bata`; did you mean `beta`\?$"):
        load_registry(tmp_path).find("bata", where="here")


def test_a_recommendation_has_a_value_of_the_setting_s_type_and_a_source(tmp_path: Path) -> None:
    level_text = "{type: string, default: all, choices: [basic, all], recommended: basic, source: the manual}"
    text = f"{BETA}settings:\n  level: {level_text}\n"
    level = load_backend(write_backend(tmp_path / "beta", text)).settings["level"]
    assert (level.recommended, level.source) == ("basic", "the manual")
    without = text.replace(", source: the manual", "")
    assert "must have both `recommended` and `source`" in complaint(tmp_path / "c" / "beta", without)
    assert "the recommended value of setting `level` must be one of" in complaint(
        tmp_path / "d" / "beta", text.replace("recommended: basic", "recommended: fast"))


def test_a_conversion_narrows_only_what_the_backend_does_not_narrow_itself() -> None:
    registry = load_registry(Path(__file__).parents[1] / "images")
    assert registry["torch"].converted_to("bf16") == "fp32"
    assert registry["openvino"].converted_to("int8") == "int8"
