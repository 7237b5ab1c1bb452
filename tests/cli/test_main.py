"""The command line as a user meets it: one sentence, a hint, an exit code; never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.cli.console import complain
from orchestrator.cli.main import GROUPS, main, parser
from tests.endtoend.program import write_mlp

EVERY = [name for names in GROUPS.values() for name in names]


@pytest.mark.parametrize("command", EVERY)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"infermatrix {command}" in capsys.readouterr().out


def test_the_groups_hold_every_command() -> None:
    assert all(name in parser().format_help() for name in EVERY)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", "nowhere.onnx"], "nowhere.onnx"),
        (["plan", "resnet5"], "resnet50"),
        (["plan", "spam", "--set", "thread=1"], "threads"),
        (["plan", "spam", "--only", "backend=onnxruntimes"], "onnxruntime"),
        (["plan", "spam", "--set", "backends=opencv"], "--backends DIR"),
        (["plan", "spam", "--profile", "quik"], "quick"),
        (["plan", "-c", "nowhere.yaml"], "nowhere.yaml"),
        (["plan", "spam", "--shape", "x=axb"], "--shape"),
        (["report", "nowhere"], "nowhere"),
        (["merge", "a", "b"], "--out"),
        (["render", "onnxruntim", "--out", "x"], "onnxruntime"),
    ],
)
def test_a_mistake_gets_one_sentence_a_hint_and_exit_code_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("infermatrix: ")
    assert words in captured.err
    assert "Traceback" not in captured.err


def test_the_starter_can_be_planned_as_it_stands(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    assert main(["init"]) == 2  # never over somebody's work
    assert main(["plan", "--json"]) == 0
    out = capsys.readouterr().out
    plan = json.loads(out[out.index("{") :])
    assert plan["schema"].startswith("infermatrix.plan/")


def test_an_unknown_model_file_can_be_planned_without_any_configuration(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_mlp(tmp_path / "mlp.onnx")
    assert main(["plan", "mlp.onnx", "--isolation", "venv"]) == 0
    out = capsys.readouterr().out
    assert "mlp" in out
    assert "isolation venv" in out


def test_backends_and_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backends", "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert listed["onnxruntime"]["version"]
    assert main(["models"]) == 0
    assert "resnet50" in capsys.readouterr().out


def test_without_a_command_the_commonest_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    told = capsys.readouterr().err
    assert "infermatrix run model.onnx" in told
    assert "infermatrix plan" in told


def test_init_says_that_it_makes_a_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["init", str(tmp_path / "new" / "my.yaml")]) == 0
    assert f"made the folder {tmp_path / 'new'}" in capsys.readouterr().out


def test_render_refuses_a_folder_with_something_else_in_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    assert main(["render", "onnxruntime", "--base", "python:3.11", "--out", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err


def test_commands_in_hints_can_be_copied(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [".venv/bin/infermatrix"])
    complain("no base", "Run `infermatrix base` as root once; images/infermatrix base stays")
    assert "Run `.venv/bin/infermatrix base` as root once; images/infermatrix base stays" in capsys.readouterr().err


def test_a_hub_that_does_not_answer_ends_a_run_before_it_begins(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the port that discards everything, and is closed on most machines
    Path("m.yaml").write_text("models: [{name: spam, weights: 'hf:owner/repo'}]\nbackends: [onnxruntime]\n")
    assert main(["run", "-c", "m.yaml", "--isolation", "venv", "--out", "out"]) == 3
    lines = capsys.readouterr().err.strip().splitlines()
    assert any(line.startswith("infermatrix: 127.0.0.1 does not answer, so hf:owner/repo cannot be had") for line in lines)
    assert any("weights: FILE" in line for line in lines)
    assert not Path("out").exists()


def test_sizes_of_the_built_in_models_and_of_any_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows["vgg19"]["parameters"], rows["vgg19"]["multiply_adds"]) == (143_667_240, 19_632_062_464)
    assert rows["yolov4"]["bytes"] is not None or rows["yolov4"]["null_reasons"] == {"bytes": "not exported yet"}
    path = tmp_path / "mlp.onnx"
    write_mlp(path)
    assert main(["models", str(path), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["bytes"] == path.stat().st_size
    assert row["multiply_adds"] == 200 * 64 + 64 * 8
    assert main(["models"]) == 0
    assert "143.7 M" in capsys.readouterr().out
    assert main(["models", str(tmp_path / "none.onnx")]) == 2
