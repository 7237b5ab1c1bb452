"""The measuring loop: rounds of fresh trials, each run, classified, stored, gated, and repeated where that helps."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.artifacts import Artifact
from orchestrator.bench import Bench, Ready
from orchestrator.classify import Verdict, classify
from orchestrator.compiled import Kept
from orchestrator.merge.state import gate_trial
from orchestrator.meters.host import TrialWatch
from orchestrator.model import Cell, Limits, Outcome, Status, TrialSpec
from orchestrator.progressline import Pace, trial_line
from orchestrator.protocol import BadResultError, read_result
from orchestrator.records import SCHEMA, CellProgress
from orchestrator.trialrequest import kept_for, staged_for, trial_request

PEERS = 300  # trials that a new one is held against: enough to know the machine, few enough to stay quick


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One trial that is due: which spec, which of its trials, where in the order; or an anchor."""

    spec: TrialSpec
    index: int
    round: int
    position: int
    anchor: str | None = None  # start, middle, end


@dataclass(kw_only=True)
class Tally:
    """What the loop did."""

    trials: int = 0
    repeated: int = 0
    phases_s: float = 0.0  # of the trials' own: import … measure
    trials_s: float = 0.0  # as the records have it, so that a later run of the same directory finds the same sum
    wall_s: float = 0.0


@dataclass(kw_only=True)
class Schedule:
    """Runs slots in order; knows what is on disk already, and what the machine's state was in every trial so far."""

    bench: Bench
    progress: dict[tuple[str, str], CellProgress] = field(default_factory=dict)
    peers: list[dict[str, Any]] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    pace: Pace = field(default_factory=Pace)
    hopeless: set[str] = field(default_factory=set)  # specs that have neither environment, model nor conversion

    def pending(self, slot: Slot) -> tuple[Cell, ...]:
        """The slot's cells that still want this trial."""
        profile = self.bench.profile
        return tuple(
            cell for cell in slot.spec.cells if slot.anchor or self._progress(cell).wants(slot.index, profile)
        )

    def is_settled(self, cell: Cell) -> bool:
        """Whether further trials of it would only repeat a failure."""
        return self._progress(cell).settled

    def prepare(self, rounds: Sequence[Sequence[Slot]]) -> None:
        """Convert models and bring inputs to where trials run, so that no trial waits for it or is warmed by it."""
        specs = {(slot.spec.id, len(slot.spec.cells)): slot.spec for slots in rounds for slot in slots if self.pending(slot)}
        ready: list[tuple[TrialSpec, Ready]] = []
        for spec in specs.values():
            if self._stopped():
                return
            found = self.bench.resolve(spec)
            if isinstance(found, Ready):
                ready.append((spec, found))
                self.bench.isolation.stage(staged_for(found), found.env)
        for spec, found in ready:
            if self._stopped():
                return
            kept_for(self.bench, spec, found)

    def run(self, rounds: Sequence[Sequence[Slot]]) -> Tally:
        """Every slot of every round; a disturbed trial is repeated at the end of its round, bounded.

        Where others may make up for it, it is left until all rounds are over, and then repeated if they did not.
        """
        begin = time.monotonic()
        for number, slots in enumerate(rounds):
            if self._stopped():
                break
            # counted anew, for what failed for good is not tried in later rounds
            due = (slot for later in rounds[number:] for slot in later if self.pending(slot))
            self.pace.due = self.pace.done + sum(isinstance(self.bench.resolve(slot.spec), Ready) for slot in due)
            self._round(slots)
        late = [slot for slots in rounds for slot in slots
                if not slot.anchor and slot.spec.id not in self.hopeless and self.pending(slot)]
        if late and not self._stopped():
            self._again(late)
            self._round(late)
        self.tally.wall_s += time.monotonic() - begin
        return self.tally

    def _round(self, slots: Sequence[Slot]) -> None:
        todo = list(slots)
        for _ in range(self.bench.profile.max_retries + 1):
            again = [slot for slot in todo if not self._stopped() and not self._attempt(slot)]
            todo = [slot for slot in again if not slot.anchor and self.pending(slot)]
            self._again(todo)

    def _again(self, slots: Sequence[Slot]) -> None:
        self.tally.repeated += len(slots)
        self.pace.due += len(slots)

    def _stopped(self) -> bool:
        return self.bench.stop.requested

    def _progress(self, cell: Cell) -> CellProgress:
        return self.progress.setdefault((cell.id, self.bench.key(cell)), CellProgress())

    def _attempt(self, slot: Slot) -> bool:
        """Run one slot; False if it should be repeated."""
        cells = self.pending(slot)
        if not cells:
            return True
        ready = self.bench.resolve(slot.spec)
        if isinstance(ready, Verdict):
            self._give_up(slot, cells, ready)
            return True
        kept = kept_for(self.bench, slot.spec, ready)
        if isinstance(kept, Verdict):
            self._give_up(slot, cells, kept)
            return True
        trial = f"{slot.spec.id}-{slot.anchor or slot.index}-{self._attempt_number(slot, cells)}"
        out = Path(tempfile.mkdtemp(prefix="infermatrix-trial-"))
        try:
            return self._measure(slot, cells, ready, kept, trial, out)
        finally:
            shutil.rmtree(out, ignore_errors=True)

    def _give_up(self, slot: Slot, cells: tuple[Cell, ...], why: Verdict) -> None:
        """What cannot run now cannot run later in this run either."""
        if slot.spec.id in self.hopeless or slot.anchor:
            return
        self.hopeless.add(slot.spec.id)
        for cell in cells:
            self._store(slot, cell, why, record=_bare(self.bench, cell), valid=True)
        self.bench.say(f"{cells[0].label} × {cells[0].model}: {why.status.value} — {why.reason}")

    def _measure(
        self, slot: Slot, cells: tuple[Cell, ...], ready: Ready, kept: Kept | None, trial: str, out: Path
    ) -> bool:
        begin = time.monotonic()
        bench = self.bench
        limits = bench.limits(cells[0].cores)
        watch = bench.meters.watch(ready.gpu.uuid if ready.gpu else None)
        request = trial_request(
            bench, TrialSpec(id=slot.spec.id, cells=cells), ready, trial, out / "io", profile=bench.profile,
            accuracy=slot.index == 0 and not slot.anchor and cells[0].scenario.shares_a_load,
            on_start=watch.began if watch.wants_processes else None,
        )
        outcome = bench.isolation.run(kept.given(request) if kept else request, bench.stop)
        result, problem = _read(outcome, trial, cells)
        verdicts = classify(
            [cell.id for cell in cells], outcome, result, problem, ready.tolerance, ready.incomparable, gpu_lost=watch.lost
        )
        record = {**_record(bench, ready, kept, outcome, result, limits), "gpu": _gpu(ready, watch)}
        seen = {**self._envelope(slot, cells[0]), **record}
        gate = gate_trial(seen, self.peers[-PEERS:])
        if any(verdicts[cell.id].status is Status.OK for cell in cells):
            self.peers.append(seen)
        by_id = {cell["id"]: cell for cell in (result or {}).get("cells", ())}
        record["trial_s"] = round(time.monotonic() - begin, 4)
        self.tally.trials_s += record["trial_s"]
        for cell in cells:
            verdict = verdicts[cell.id]
            if verdict.status is Status.INTERRUPTED:
                continue  # nothing was learnt; the next run does it
            valid = verdict.status is not Status.OK or gate.valid
            self._store(
                slot, cell, verdict, valid=valid,
                record={**record, "measurement": by_id.get(cell.id), "meters": watch.cell(by_id.get(cell.id))},
                invalid_reason=None if valid else gate.reason,
            )
        self._count(result)
        where = f"anchor at {slot.anchor}" if slot.anchor else f"round {slot.round + 1}"
        line = trial_line(where, cells, verdicts, by_id, None if gate.valid else gate.reason)
        self.pace.done += 1
        self.pace.spent_s += time.monotonic() - begin
        bench.say(f"[{self.pace.text()}] {line}")
        return gate.valid and not any(verdict.status.is_infrastructure for verdict in verdicts.values())

    def _count(self, result: dict[str, Any] | None) -> None:
        self.tally.trials += 1
        phases = (result or {}).get("phases") or {}
        own = [phases.get(name) or 0.0 for name in ("start_ms", "import_ms", "load_ms", "compile_ms", "fill_ms")]
        for cell in (result or {}).get("cells", ()):
            own += [cell.get(name) or 0.0 for name in ("first_inference_ms", "warmup_ms", "measure_ms")]
        self.tally.phases_s += sum(own) / 1e3

    def _attempt_number(self, slot: Slot, cells: Sequence[Cell]) -> int:
        return 0 if slot.anchor else max(self._progress(cell).attempts.get(slot.index, 0) for cell in cells)

    def _store(
        self, slot: Slot, cell: Cell, verdict: Verdict, *, record: dict[str, Any], valid: bool, invalid_reason: str | None = None
    ) -> None:
        envelope = self._envelope(slot, cell)
        self.bench.store.write(
            {
                **envelope, "key": self.bench.key(cell), "status": verdict.status.value, "reason": verdict.reason,
                "phase": verdict.phase, "valid": valid, "invalid_reason": invalid_reason, **record,
            }
        )
        if not slot.anchor:
            self._progress(cell).note(slot.index, envelope["trial"]["attempt"], verdict.status, valid=valid)

    def _envelope(self, slot: Slot, cell: Cell) -> dict[str, Any]:
        return {
            "schema": SCHEMA, "cell": {**cell.canonical(), "id": cell.id},
            "trial": {
                "spec": slot.spec.id, "index": slot.index, "attempt": self._attempt_number(slot, (cell,)), "round": slot.round,
                "position": slot.position, "anchor": bool(slot.anchor), "anchor_at": slot.anchor,
            },
        }


def _read(outcome: Outcome, trial: str, cells: Sequence[Cell]) -> tuple[dict[str, Any] | None, str | None]:
    if outcome.result_file is None:
        return None, None
    try:
        return read_result(outcome.result_file, trial=trial, task="trial", cells=[cell.id for cell in cells]), None
    except BadResultError as error:
        return None, str(error)


def _record(
    bench: Bench, ready: Ready, kept: Kept | None, outcome: Outcome, result: dict[str, Any] | None, limits: Limits
) -> dict[str, Any]:
    """The part of a record that the cells of a trial share."""
    env, model, artifact = ready.env, ready.model, ready.artifact
    return {
        "exit_code": outcome.exit_code, "log_tail": outcome.log_tail, "isolation": bench.isolation.kind.value,
        "not_enforced": list(outcome.not_enforced),
        "env": {
            "name": env.name, "digest": env.digest, "reference": env.shown, "size_mb": env.size_mb, "packages": env.packages,
        },
        "model": {
            "name": ready.name, "sha256": ready.sha256, "reference_source": model.reference_source,
            "tolerance": dict(ready.tolerance), "incomparable": ready.incomparable,
        },
        "host": dict(bench.host), "limits": {"cpus": list(limits.cpus), "memory_mb": bench.memory_mb, "pids": limits.pids},
        "convert": _convert(artifact), **({"compiled": _compiled(kept)} if kept else {}),
        "started": outcome.started, "wall_s": outcome.wall_s,
        "container_start_ms": outcome.container_start_ms, "isolation_ms": dict(outcome.isolation_ms),
        "result": {name: value for name, value in (result or {}).items() if name != "cells"} or None, "measurement": None,
    }


def _gpu(ready: Ready, watch: TrialWatch) -> dict[str, Any] | None:
    """Which GPU the trial had, and what set it apart from its peers' there; None for a CPU."""
    return None if ready.gpu is None else {**asdict(ready.gpu), **(watch.disturbance() or {})}


def _bare(bench: Bench, cell: Cell) -> dict[str, Any]:
    """A record of a cell that never got to run."""
    return {
        "exit_code": None, "log_tail": "", "isolation": bench.isolation.kind.value, "not_enforced": [], "env": None,
        "model": {"name": cell.model, "sha256": bench.sha256(cell)}, "host": dict(bench.host),
        "limits": None, "convert": None, "started": None, "wall_s": None, "container_start_ms": None, "result": None,
        "measurement": None, "gpu": None, "meters": None,
    }


def _compiled(kept: Kept) -> dict[str, Any]:
    return {"ms": kept.ms, "cached": kept.cached, "key": kept.key}


def _convert(artifact: Artifact | None) -> dict[str, Any] | None:
    return None if artifact is None else {"ms": artifact.convert_ms, "cached": artifact.cached, "key": artifact.key}
