"""The main job as a short list of steps: plan → environments → models → trials → matrix → reports (design §2)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from orchestrator.artifacts import Artifacts
from orchestrator.backends import Registry, env_of
from orchestrator.bench import Bench
from orchestrator.budget import Budget
from orchestrator.compiled import Compilations
from orchestrator.counting import several
from orchestrator.doctor.engine import EngineAnswer, engine_answer
from orchestrator.environments import MODELS_ENV, converter_key, models_env, named_interpreters
from orchestrator.errors import EngineError
from orchestrator.hostfacts import HostFacts, choose_cpus
from orchestrator.images.builders import Builder
from orchestrator.isolation.base import Isolation, Stop
from orchestrator.isolation.hostlock import engine_lock, file_lock
from orchestrator.meters.host import HostMeters
from orchestrator.model import BackendSpec, EnvSpec, IsolationKind, Limits, PreparedModel, ReadyEnv
from orchestrator.modelset import ModelSet
from orchestrator.opening import opened
from orchestrator.plan.absent import on_this_machine
from orchestrator.plan.plan import Plan
from orchestrator.records import RecordStore
from orchestrator.rundir import RunDir
from orchestrator.schedule import Schedule, Slot, Tally

Say = Callable[[str], None]
ROOT = Path(__file__).resolve().parents[1]
IMAGES, RUNNERS = ROOT / "images", ROOT / "runners"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which isolation, and why that one."""

    kind: IsolationKind
    reason: str


def choose_isolation(asked: IsolationKind | None, answer: EngineAnswer | None = None) -> Choice:
    """Docker where an engine answers, else venv; what the user asked for in any case.

    Raises:
        EngineError: docker was asked for and no engine answers.
    """
    if asked is not None and asked is not IsolationKind.DOCKER:
        return Choice(kind=asked, reason="asked for")
    answer = answer or engine_answer()
    if answer.available:
        return Choice(kind=IsolationKind.DOCKER, reason="asked for" if asked else f"an engine answers: {answer.reason}")
    if asked is IsolationKind.DOCKER:
        raise EngineError(f"no container engine answers: {answer.reason}", hint=answer.hint)
    return Choice(kind=IsolationKind.VENV, reason=f"no container engine answers ({answer.reason})")


@dataclass(frozen=True, kw_only=True)
class Work:
    """Everything that one invocation of `run` was given."""

    plan: Plan
    registry: Registry
    facts: HostFacts
    models: ModelSet
    cache: Path
    rundir: RunDir
    choice: Choice
    builder: Builder
    stop: Stop
    say: Say


@dataclass(frozen=True, kw_only=True)
class Done:
    """What came of it."""

    matrix: Mapping[str, Any]
    tally: Tally
    nothing_to_do: bool = False


def execute(work: Work) -> Done:
    """Do the whole job; finished records are kept whatever happens.

    Raises:
        EngineError: the engine went away before the first trial.
    """
    with work.stop.on_signals(), file_lock(work.say, work.stop, work.rundir.folder), _isolation(work) as (isolation, client), \
            contextlib.closing(HostMeters.open(work.facts.gpus, work.facts.gpus_reason)) as meters:
        bench = _prepare(work, isolation, meters)
        bench.store.forget_infrastructure()  # what the host failed at is asked of it anew, with all its attempts
        schedule = Schedule(bench=bench, progress=bench.store.progress())
        rounds = [_with_anchors(work.plan, number) for number in range(len(work.plan.rounds))]
        due = sum(1 for slots in rounds for slot in slots if not slot.anchor and schedule.pending(slot))
        budget = _budget(work, bench, schedule)
        more = due > 0 or (budget is not None and budget.next() is not None)
        if not more and (matrix := work.rundir.matrix(work.plan.config.budget_s)) is not None:
            return Done(matrix=matrix, tally=schedule.tally, nothing_to_do=True)
        tally = schedule.tally
        if more:
            work.say(f"due: {several(due, 'trial')} of {several(len(work.plan.specs), 'model load')}")
            with _engine_lock(work, client, bench), work.stop.patience():
                schedule.prepare(rounds)
                _begin_meters(work, bench)
                tally = schedule.run(rounds)
                if budget is not None:
                    budget.spend()
    return Done(matrix=work.rundir.finish(work.plan, bench, work.choice.reason, work.facts), tally=tally)


def _budget(work: Work, bench: Bench, schedule: Schedule) -> Budget | None:
    limit_s = work.plan.config.budget_s
    return None if limit_s is None else Budget(plan=work.plan, bench=bench, schedule=schedule, limit_s=limit_s, say=work.say)


def _isolation(work: Work) -> contextlib.AbstractContextManager[tuple[Isolation, docker.DockerClient | None]]:
    kind, config = work.choice.kind, work.plan.config
    named = kind is IsolationKind.INTERPRETER
    pythons = named_interpreters(config, (cell.label for cell in work.plan.cells)) if named else {}
    return opened(kind, run_id=work.rundir.run_id, base=config.base, logs=work.rundir.logs, builder=work.builder, say=work.say,
                  pythons=pythons)


def _engine_lock(work: Work, client: docker.DockerClient | None, bench: Bench) -> contextlib.AbstractContextManager[None]:
    image = next((env.reference for env in bench.envs.values() if isinstance(env, ReadyEnv)), None)
    if client is None or image is None:
        return contextlib.nullcontext()
    return engine_lock(client, image, work.say, work.stop, work.rundir.folder)


def _begin_meters(work: Work, bench: Bench) -> None:
    """Start the host's meters, and take idle power now: all is prepared and nothing runs yet."""
    meters = bench.meters
    meters.sampler.start(avoid=sorted({cpu for cpus in bench.cpus.values() for cpu in cpus}))
    meters.measure_idle(work.stop.event.wait)
    if meters.idle_w:
        known = (f"{name} {'not known' if watts is None else f'{watts:.1f} W'}" for name, watts in meters.idle_w.items())
        work.say(f"idle power: {', '.join(known)}")


def _prepare(work: Work, isolation: Isolation, meters: HostMeters) -> Bench:
    """Environments, then models (which may need one of them): all that the cells need whose device is here."""
    plan, config, facts = work.plan, work.plan.config, work.facts
    here = on_this_machine(plan, facts.gpus, facts.gpus_reason).cells
    rows = {cell.label: cell for cell in here}
    asked_for = work.models.only({name for cell in here for name in cell.members})
    envs: dict[str, EnvSpec] = {
        label: env_of(work.registry[cell.backend], cell.backend_version) for label, cell in rows.items()
    }
    for backend in {cell.backend for cell in rows.values()}:
        spec = work.registry[backend]
        converter = spec.converter
        asked = any(spec.must_convert(cell.precision) for cell in here if cell.backend == backend)
        if converter is not None and (asked or _converts(spec, asked_for)):
            envs[converter_key(backend)] = converter.env
    if asked_for.needs_export():
        envs[MODELS_ENV] = models_env(IMAGES)
    ready = isolation.prepare(envs, work.say)
    limits = {cores: _cpus(work.facts, config.limits, cores) for cores in {cell.cores for cell in plan.cells}}
    widest = Limits(cpus=config.limits.cpus, memory_mb=config.limits.memory_mb)
    models = asked_for.prepare(isolation, ready.get(MODELS_ENV), widest, work.stop, work.say)
    for model in models.values():
        if isinstance(model, PreparedModel):
            for note in model.notes:
                work.say(f"{model.name}: {note}")
    return Bench(
        run_id=work.rundir.run_id, isolation=isolation, backends=work.registry,
        envs={label: ready[label] for label in rows},
        converter_envs={
            backend: ready[converter_key(backend)] for backend in work.registry if converter_key(backend) in ready
        },
        models=models, cpus=limits, memory_mb=config.limits.memory_mb, profile=config.profile, seed=config.seed,
        artifacts=Artifacts(
            cache=work.cache, isolation=isolation, limits=widest, stop=work.stop, say=work.say, runner_dir=RUNNERS,
        ),
        compilations=Compilations(cache=work.cache, isolation=isolation, stop=work.stop, say=work.say),
        host={"name": "local", "fingerprint": work.facts.fingerprint}, store=RecordStore(work.rundir.records),
        stop=work.stop, say=work.say, meters=meters, gpus=facts.gpus, gpus_reason=facts.gpus_reason,
    )


def _converts(backend: BackendSpec, models: ModelSet) -> bool:
    """Whether any model comes in none of the formats that the backend loads as it is."""
    formats = backend.formats
    return "onnx" not in formats and (models.files() or not set(formats) & models.zoo_formats())


def _cpus(facts: HostFacts, limits: Limits, threads: int) -> tuple[int, ...]:
    allowed = choose_cpus(facts, threads) if threads <= len(facts.usable_cpus) else limits.cpus
    return allowed if set(allowed) <= set(limits.cpus) else limits.cpus[:threads]


def _with_anchors(plan: Plan, number: int) -> list[Slot]:
    """One round in order, with the anchor's trials at their places."""
    slots = [
        Slot(spec=spec, index=index, round=number, position=position)
        for position, (spec, index) in enumerate(plan.rounds[number])
    ]
    for anchor in sorted((a for a in plan.anchors if a.round == number), key=lambda a: (-a.position, a.at == "start")):
        index = {"start": 0, "middle": 1, "end": 2}[anchor.at]
        slots.insert(
            anchor.position, Slot(spec=anchor.spec, index=index, round=number, position=anchor.position, anchor=anchor.at)
        )
    return slots


def failed_cells(matrix: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Cells without a number for another reason than that the backend cannot do it."""
    return [cell for cell in matrix["cells"] if cell["status"] not in ("ok", "unsupported")]
