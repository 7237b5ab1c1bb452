from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.config.yamlfile import Document, load_document, parse_document
from orchestrator.errors import ConfigError


def parse(text: str) -> Document:
    return parse_document(text, name="m.yaml", folder=Path())


def complaint(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("no", "no"), ("yes", "yes"), ("true", True), ("False", False), ("~", None), ("null", None), ("", None),
        ("1e-3", 0.001), ("1.0e-3", 0.001), (".5", 0.5), ("3.10", 3.1), ("007", 7), ("-4", -4), ("1_000", "1_000"),
        ("12:30:45", "12:30:45"), ("2026-01-01", "2026-01-01"), (".inf", ".inf"), (".nan", ".nan"), ("1e999", "1e999"),
        ("'1'", "1"), ('"true"', "true"), ("1.30.0", "1.30.0"), ("9" * 5000, "9" * 5000),
    ],
)
def test_plain_scalars_follow_yaml_1_2_and_quoted_ones_stay_text(text: str, value: object) -> None:
    got = parse(f"key: {text}").value["key"]
    assert got == value
    assert type(got) is type(value)


def test_every_key_and_item_knows_its_line() -> None:
    document = parse("a: 1\nb:\n  - x\n  -\n    c: 2\n")
    assert document.where(("a",)) == "m.yaml:1"
    assert document.where(("b",)) == "m.yaml:2"
    assert document.where(("b", 0)) == "m.yaml:3"
    assert document.where(("b", 1, "c")) == "m.yaml:5"
    assert document.where(("b", 1, "c", "unheard of")) == "m.yaml:5"


def test_the_spelling_of_a_plain_number_is_kept() -> None:
    document = parse("version: 3.10\nquoted: '3.10'\n")
    assert document.text(("version",)) == "3.10"
    assert document.text(("quoted",)) is None


def test_a_key_given_twice_is_refused_with_both_lines() -> None:
    assert complaint("a: 1\nb: 2\na: 3\n") == "m.yaml:3: key `a` is given twice, first on line 1"


def test_a_nested_key_given_twice_is_refused() -> None:
    assert complaint("top:\n  a: 1\n  a: 1\n").startswith("m.yaml:3: key `a` is given twice")


def test_equal_keys_in_different_places_are_fine() -> None:
    assert parse("- {a: 1}\n- {a: 2}\n").value == [{"a": 1}, {"a": 2}]


def test_an_anchor_may_be_used_again() -> None:
    assert parse("a: &x [1, 2]\nb: *x\n").value == {"a": [1, 2], "b": [1, 2]}


def test_an_anchor_bomb_is_refused_before_it_expands() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    assert "expands to more than 100000 values" in complaint("\n".join(lines))


def test_an_alias_that_contains_itself_is_refused() -> None:
    assert "is nested more than 40 deep" in complaint("a: &a [*a]")


def test_deep_nesting_is_refused_without_a_traceback() -> None:
    assert complaint("a: " + "[" * 3000 + "]" * 3000).startswith("m.yaml: is nested too deeply")


@pytest.mark.parametrize(
    ("text", "line"), [("a: [1\nb: 2\n", 2), ("a: 1\n\tb: 2\n", 2), ("a: 1\n---\nb: 2\n", 2), ("a: 'x\n", 2)]
)
def test_broken_yaml_names_the_line(text: str, line: int) -> None:
    assert complaint(text).startswith(f"m.yaml:{line}: is not valid YAML: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [("a: !!int '3'", "tags such as"), ("a: !x [1]", "tags such as"), ("<<: {a: 1}", "merge keys"),
     ("? [a]\n: 1", "a key must be a single word"), ("a: \x01", "a character that YAML does not allow")],
)
def test_what_a_configuration_does_not_need_is_refused(text: str, words: str) -> None:
    assert words in complaint(text)


@pytest.mark.parametrize("text", ["", "# only a comment\n"])
def test_an_empty_file_says_so(text: str) -> None:
    assert complaint(text) == "m.yaml: is empty"


def test_a_missing_file_hints_at_init(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file") as caught:
        load_document(tmp_path / "matrix.yaml")
    assert "infermatrix init" in caught.value.hint


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_document(tmp_path)


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(b"# " + b"x" * (1 << 20))
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        load_document(path)


def test_text_in_another_encoding_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(b"a: 1\nb: \xe4\n")
    with pytest.raises(ConfigError, match=r"m\.yaml:2: is not UTF-8 text"):
        load_document(path)


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert load_document(path).value == {"a": 1}


def test_a_patch_replaces_a_value_and_says_where_it_came_from() -> None:
    before = parse("a:\n  - {b: 1}\nc: 2\n")
    after = before.patched(("a",), ["3.10", "x"], "--set a=3.10,x")
    assert after.value == {"a": [3.1, "x"], "c": 2}
    assert after.where(("a", 1)) == "--set a=3.10,x"
    assert after.text(("a", 0)) == "3.10"
    assert after.where(("c",)) == "m.yaml:3"
    assert before.value == {"a": [{"b": 1}], "c": 2}


def test_a_patch_makes_the_mappings_on_its_way() -> None:
    assert parse("a: 1\n").patched(("b", "c"), "true", "x").value == {"a": 1, "b": {"c": True}}
