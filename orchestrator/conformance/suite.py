"""The suite on disk: a folder per test with its model and data, written once per version of onnx."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from filelock import FileLock

from orchestrator.conformance.cases import Case, Operator, load_cases, opset_of, subject_of
from orchestrator.errors import ConfigError, ResultError
from orchestrator.model import digest
from orchestrator.models.npzfile import write_npz
from orchestrator.records import write_atomically

INDEX = "tests.json"
FORMAT = 1  # of the folder: another one is another suite


@dataclass(frozen=True, kw_only=True)
class Test:
    """One test: what the summary needs of it."""

    __test__ = False  # no test of pytest's

    name: str  # "node/test_abs"
    kind: str
    subject: Operator | None  # the operator that it is about
    opset: Mapping[str, int]
    beyond: str | None  # why it cannot be put to any backend


@dataclass(frozen=True, kw_only=True)
class Suite:
    """All tests, in the order in which they are run."""

    folder: Path
    digest: str  # of all models and data
    onnx_version: str
    tests: tuple[Test, ...]

    def matching(self, pattern: str | None) -> tuple[Test, ...]:
        """The tests whose name, or part of it, fits a pattern with * and ?. Raises ConfigError where none does."""
        if pattern is None:
            return self.tests
        found = tuple(test for test in self.tests if fnmatch.fnmatchcase(test.name, f"*{pattern}*"))
        if not found:
            raise ConfigError(f"no test's name fits {pattern!r}", hint="Names are such as node/test_abs; * stands for anything.")
        return found


def ensure_suite(cache: Path, say: Callable[[str], None]) -> Suite:
    """The suite of the installed onnx, written now where it is not there yet."""
    key = digest({"onnx": onnx.__version__, "numpy": np.__version__, "format": FORMAT})[:12]
    folder = cache / "conformance" / f"suite-{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not (folder / INDEX).is_file():
            say(f"writing the backend tests of onnx {onnx.__version__}")
            _write(folder)
    return read_suite(folder)


def read_suite(folder: Path) -> Suite:
    """A suite that was written before. Raises ResultError where it cannot be read."""
    try:
        raw = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return Suite(
            folder=folder, digest=raw["digest"], onnx_version=raw["onnx"], tests=tuple(_test(item) for item in raw["tests"])
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultError(f"{folder}: the suite cannot be read: {error}", hint="Remove the folder; it is written anew.") from None


def _test(raw: Mapping[str, Any]) -> Test:
    return Test(
        name=raw["name"], kind=raw["kind"], subject=None if raw["subject"] is None else Operator(**raw["subject"]),
        opset=raw["opset"], beyond=raw["beyond"],
    )


def _write(folder: Path) -> None:
    """Into a temporary folder first: one that has its name is whole."""
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".suite-"))
    try:
        total, entries = hashlib.sha256(), []
        for case in load_cases():
            entries.append(_write_case(made, case, total))
        index = {"onnx": onnx.__version__, "numpy": np.__version__, "digest": total.hexdigest(), "tests": entries}
        write_atomically(made / INDEX, json.dumps(index, separators=(",", ":")).encode())
        made.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _write_case(root: Path, case: Case, total: hashlib._Hash) -> dict[str, Any]:
    where = f"{case.kind}/{case.name}"
    # An expanded test is the body of a function written out: it says nothing of the operator that it is named after.
    subject = None if "_expanded" in case.name else subject_of(case.model)
    total.update(where.encode())
    if case.beyond is None:
        (root / where).mkdir(parents=True)
        model = case.model.SerializeToString(deterministic=True)
        (root / where / "model.onnx").write_bytes(model)
        total.update(model)
        for number, (inputs, outputs) in enumerate(case.sets):
            for what, arrays in (("inputs", inputs), ("outputs", outputs)):
                path = root / where / f"{what}_{number}.npz"
                write_npz(path, {str(place): array for place, array in enumerate(arrays)})
                total.update(path.read_bytes())
    return {
        "name": where, "id": where.replace("/", "."), "kind": case.kind, "folder": where, "sets": len(case.sets),
        "input_order": list(case.input_order), "output_order": list(case.output_order), "rtol": case.rtol, "atol": case.atol,
        "compare": case.compare, "fixed_batch": 1, "beyond": case.beyond,
        "subject": None if subject is None else asdict(subject), "opset": opset_of(case.model),
    }
