"""A converter that is another backend's: declared, and used so that one conversion serves both."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.backends import load_registry
from orchestrator.environments import envs_of
from orchestrator.errors import ConfigError
from tests.config.madeup import ALPHA, BETA, write_backend

LENDER = ALPHA.replace("formats: [onnx]", "formats: [alpha]") + "converter: {output: alpha, base: toolchain}\n"


def with_lender(folder: Path, borrower: str) -> Path:
    images = folder / "images"
    (write_backend(images / "alpha", LENDER) / "converter").mkdir()
    write_backend(images / "beta", BETA + borrower)
    return images


def complaint(images: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_registry(images)
    return caught.value.message.replace(f"{images}/", "")


def test_the_borrower_has_the_lenders_environment_and_its_own_format(tmp_path: Path) -> None:
    registry = load_registry(with_lender(tmp_path, "converter: {of: alpha, output: beta, precisions: [fp32]}\n"))
    lent, own = registry["beta"].converter, registry["alpha"].converter
    assert lent is not None
    assert own is not None
    assert lent.env == own.env
    assert (lent.by, lent.output, lent.precisions) == ("alpha", "beta", ("fp32",))
    assert (own.by, own.output, own.precisions) == ("alpha", "alpha", ())
    assert envs_of(registry["beta"])["beta/converter"] == envs_of(registry["alpha"])["alpha/converter"]


def test_a_user_s_backend_borrows_from_the_project_and_keeps_its_adapter_to_itself(tmp_path: Path) -> None:
    images = with_lender(tmp_path, "")
    folder = write_backend(tmp_path / "mine" / "gamma", BETA + "converter: {of: alpha, output: beta}\n")
    (folder / "adapter.py").touch()
    spec = load_registry(images, [tmp_path / "mine"])["gamma"]
    assert spec.env.extra_files == (folder / "adapter.py",)
    assert spec.converter is not None
    assert (spec.converter.by, spec.converter.env.extra_files) == ("alpha", ())


def test_a_user_s_backend_lends_its_adapter_with_its_converter(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name, declared in (("gamma", "{output: beta}"), ("delta", "{of: gamma, output: beta}")):
        (write_backend(tmp_path / "mine" / name, BETA + f"converter: {declared}\n") / "adapter.py").touch()
    (tmp_path / "mine" / "gamma" / "converter").mkdir()
    converter = load_registry(tmp_path / "images", [tmp_path / "mine"])["delta"].converter
    assert converter is not None
    assert (converter.by, converter.env.extra_files) == ("gamma", (tmp_path / "mine" / "gamma" / "adapter.py",))


@pytest.mark.parametrize(("borrower", "sentence"), [
    ("converter: {of: gamma, output: beta}\n", "there is no backend `gamma` that has a converter of its own"),
    ("converter: {of: beta, output: beta}\n", "there is no backend `beta` that has a converter of its own"),
    ("converter: {of: alpha, output: alpha}\n", "`alpha` is not among `formats`"),
    ("converter: {of: alpha, output: beta, base: slim}\n",
     "a converter that is another backend's cannot have `base` as well"),
    ("converter: {of: alpha, output: beta, precisions: [int8]}\n", "`int8` is not among `precisions`"),
])
def test_a_wrong_loan_is_one_sentence_with_file_and_line(tmp_path: Path, borrower: str, sentence: str) -> None:
    assert complaint(with_lender(tmp_path, borrower)) == f"beta/backend.yaml:8: {sentence}"


def test_a_borrower_with_a_folder_of_its_own_is_refused(tmp_path: Path) -> None:
    images = with_lender(tmp_path, "converter: {of: alpha, output: beta}\n")
    (images / "beta" / "converter").mkdir()
    assert "cannot have the folder beta/converter as well" in complaint(images)
