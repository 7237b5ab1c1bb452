"""A run directory: what was asked, the records, the matrix and the reports; the same question gives the same one."""

from __future__ import annotations

import getpass
import json
import shlex
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from orchestrator import __version__
from orchestrator.backends import settings_json
from orchestrator.bench import Bench
from orchestrator.counting import several
from orchestrator.errors import ResultError
from orchestrator.facts.gather import conformance_folders, facts_json
from orchestrator.hostfacts import HostFacts
from orchestrator.merge.costs import spent_s
from orchestrator.merge.estimate import hole
from orchestrator.merge.matrix import SCHEMA as MATRIX_SCHEMA
from orchestrator.merge.matrix import merge
from orchestrator.merge.rule import Rule, correction_text, rule_of
from orchestrator.model import Cell, IsolationKind, PreparedModel, ReadyEnv, Status, digest
from orchestrator.plan.plan import Plan
from orchestrator.records import RecordStore, read_json, write_atomically
from orchestrator.report.write import write_reports

RUN_SCHEMA = "infermatrix.run/1"
ROOT = Path(__file__).resolve().parents[1]
IMAGES, RESULTS = ROOT / "images", ROOT / "results"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def default_folder(plan: Plan, isolation: IsolationKind, results: Path) -> Path:
    """`results/local/<name>-<8 digits of what was asked>`: the same command finds its records again."""
    config = plan.config
    profile = {name: value for name, value in asdict(config.profile).items() if name != "enough" or value}  # came later
    asked = {
        "cells": sorted(cell.id for cell in plan.cells), "profile": profile, "seed": config.seed,
        "isolation": isolation.value,
        "models": sorted(
            (m.name, str(m.path), str(m.inputs), str(sorted(m.shapes.items())), str(sorted(m.tolerance.items())))
            for m in (*config.models, *config.extra_models)
        ),
    }
    if config.budget_s is not None:
        asked["looks"] = "several"  # its comparisons are corrected otherwise than those of a run that looks once
    return results / "local" / f"{config.name}-{digest(asked)[:8]}"


def standing(folder: Path, program: str, *, named: bool) -> list[str]:
    """What a reader should know of the run directory before anything is measured: which, whether it goes on, and why.

    `named`: the user named it (--out), so that no other run directory was to be expected.
    """
    records = sum(1 for _ in (folder / "records").glob("*.json"))
    if records:
        # A directory that the user named may hold anything; one named after the question holds that question's.
        whose = "; those that fit what is asked now are reused" if named else " of the same question"
        return [f"run directory: {folder} — goes on there, {several(records, 'record')}{whose}"]
    lines = [f"run directory: {folder} — new{'' if named else ', nothing asked exactly this before'}"]
    stem = folder.name.rpartition("-")[0]
    others = [] if named or not folder.parent.is_dir() else [
        other for other in folder.parent.iterdir()
        if other != folder and other.name.rpartition("-")[0] == stem and (other / "matrix.json").is_file()
    ]
    if others:
        last = max(others, key=lambda other: (other / "matrix.json").stat().st_mtime)
        lines.append(
            f"{last.name} beside it asked something else (other cells, profile, seed or isolation): its trials are not reused, "
            f"since backends are compared within rounds measured together; to see it again: {program} report {last}"
        )
    return lines


@dataclass(frozen=True, kw_only=True)
class RunDir:
    """The folder of one run, and this invocation's id."""

    folder: Path
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    started: str = field(default_factory=_now)

    @property
    def records(self) -> Path:
        """One JSON file per trial and cell."""
        return self.folder / "records"

    @property
    def logs(self) -> Path:
        """Build logs."""
        return self.folder / "logs"

    def matrix(self, budget_s: float | None = None) -> dict[str, Any] | None:
        """The matrix as it stands; None where it is missing, older than a record (a run was ended before it could merge) or
        of another budget. Raises ResultError where it is damaged."""
        path = self.folder / "matrix.json"
        if not path.is_file() or not (self.folder / "report.html").is_file():
            return None
        if self.records.stat().st_mtime > path.stat().st_mtime:
            return None
        found = read_json(path, schema=MATRIX_SCHEMA)
        return found if (found["run"].get("budget") or {}).get("seconds") == budget_s else None

    def begin(self, plan: Plan, isolation: IsolationKind, reason: str, facts: HostFacts) -> None:
        """Write down what was asked, before anything is measured."""
        self.folder.mkdir(parents=True, exist_ok=True)
        run = self._run(plan, isolation, reason)
        document = {"schema": RUN_SCHEMA, "run": run, "host": facts.to_json(), "asked": asked(plan)}
        write_atomically(self.folder / "run.json", json.dumps(document).encode())

    def finish(self, plan: Plan, bench: Bench, reason: str, facts: HostFacts) -> dict[str, Any]:
        """Merge the records, write the matrix and all reports; returns the matrix."""
        records = list(RecordStore(self.records).read_all())
        run = {**self._run(plan, bench.isolation.kind, reason), "finished": _now(), "interrupted": bench.stop.requested}
        if plan.config.budget_s is not None:
            run["budget"] = {"seconds": plan.config.budget_s, "spent_s": round(spent_s(records), 1)}
        matrix = merge(
            run, records, plan.cells, asked=plan.config.profile.trials,
            hosts=[{**facts.to_json(), "name": "local", "hostname": facts.name}],
            images=[_env_json(label, env) for label, env in sorted(bench.envs.items()) if isinstance(env, ReadyEnv)],
            models=[_model_json(model) for _, model in sorted(bench.models.items()) if isinstance(model, PreparedModel)],
            excluded=[{**_cell_json(left.cell), "why": left.why} for left in plan.excluded],
            keys={cell.id: bench.key(cell) for cell in plan.cells},
            rule=_rule(asked(plan)), warnings=plan.warnings,
        )
        unsupported = [_unsupported_json(left.cell, left.reason, plan) for left in plan.unsupported]
        matrix["cells"] += unsupported
        matrix["settings"] = {name: settings_json(bench.backends[name]) for name in sorted({c.backend for c in plan.cells})}
        used = [bench.backends[name] for name in sorted({c.backend for c in plan.cells})]
        matrix["facts"] = facts_json(used, IMAGES, conformance_folders(RESULTS))
        text = json.dumps(matrix, allow_nan=False)
        write_atomically(self.folder / "matrix.json", text.encode())
        matrix = dict(json.loads(text))  # reports are made of what was written, and of nothing else
        write_reports(matrix, self.folder)
        return matrix

    def _run(self, plan: Plan, isolation: IsolationKind, reason: str) -> dict[str, Any]:
        config = plan.config
        return {
            "id": self.run_id, "name": config.name, "profile": config.profile.name, "measure": asdict(config.profile),
            "seed": config.seed, "minimum_effect": config.minimum_effect, "started": self.started, "finished": None,
            "command": shlex.join(["infermatrix", *sys.argv[1:]]), "isolation": isolation.value, "isolation_reason": reason,
            "infermatrix_version": __version__, "git": git_revision(Path(__file__).parent), "user": _user(),
            "limits": asdict(config.limits),
            "comparisons": correction_text(_rule(asked(plan))),
        }


def asked(plan: Plan) -> dict[str, Any]:
    """The plan in JSON: enough to merge the records again without the matrix.yaml."""
    return {
        "cells": [_cell_json(cell) for cell in plan.cells], "trials": plan.config.profile.trials,
        "minimum_effect": plan.config.minimum_effect, "budget_s": plan.config.budget_s,
        "excluded": [{**_cell_json(left.cell), "why": left.why} for left in plan.excluded],
        "unsupported": [{**_cell_json(left.cell), "reason": left.reason} for left in plan.unsupported],
    }


def _rule(wanted: Mapping[str, Any]) -> Rule:
    return rule_of(minimum_effect=wanted["minimum_effect"], trials=wanted["trials"], budget_s=wanted.get("budget_s"))


def merge_again(folder: Path) -> dict[str, Any]:
    """The matrix of a run directory, merged anew from its records. Raises ResultError where it is none."""
    document = read_json(folder / "run.json", schema=RUN_SCHEMA)
    old = read_json(folder / "matrix.json", schema=MATRIX_SCHEMA) if (folder / "matrix.json").is_file() else {}
    wanted = document.get("asked")
    if not isinstance(wanted, Mapping):
        raise ResultError(f"{folder / 'run.json'}: says nothing of what was asked", hint="run the same command again instead")
    host = {**document["host"], "name": "local"}
    matrix = merge(
        old.get("run") or document["run"], RecordStore(folder / "records").read_all(), wanted["cells"], asked=wanted["trials"],
        hosts=[host], images=old.get("images", ()), models=old.get("models", ()), excluded=wanted["excluded"],
        rule=_rule(wanted),
    )
    matrix["settings"] = old.get("settings", {})
    if "facts" in old:  # as they were when it ran
        matrix["facts"] = old["facts"]
    known = {cell["id"] for cell in matrix["cells"]}
    matrix["cells"] += [cell for cell in old.get("cells", ()) if cell["id"] not in known and cell["status"] == "unsupported"]
    return matrix


def git_revision(folder: Path) -> str | None:
    """The commit of the source, with `-dirty` where it differs; None outside of a checkout."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True,
            check=True, timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _cell_json(cell: Cell) -> dict[str, Any]:
    return {**cell.canonical(), "id": cell.id}


def _unsupported_json(cell: Cell, reason: str, plan: Plan) -> dict[str, Any]:
    return hole(_cell_json(cell), asked=plan.config.profile.trials, status=Status.UNSUPPORTED, reason=reason)


def _env_json(label: str, env: ReadyEnv) -> dict[str, Any]:
    return {
        "label": label, "name": env.name, "kind": env.kind.value, "digest": env.digest, "reference": env.shown,
        "size_mb": env.size_mb, "packages": env.packages, "source": env.source, "prepare_s": env.prepare_s,
    }


def _model_json(model: PreparedModel) -> dict[str, Any]:
    return {
        "name": model.name, "sha256": model.sha256, "inputs": [asdict(tensor) for tensor in model.inputs],
        "outputs": [asdict(tensor) for tensor in model.outputs], "reference_source": model.reference_source,
        "tolerance": dict(model.tolerance), "incomparable": model.incomparable,
        "samples": model.samples, "batchable": model.batchable, "notes": list(model.notes),
    }


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None  # a container's user without a name
