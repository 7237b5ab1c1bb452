"""`run` and `plan`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

from orchestrator.backends import Registry
from orchestrator.cli.common import IMAGES, RESULTS, RUNNERS, Commands, add, add_backends, program, registry_of
from orchestrator.cli.console import Console
from orchestrator.config.machine import detect_machine
from orchestrator.config.matrix import MatrixConfig, load_matrix
from orchestrator.config.modelfiles import config_for_models
from orchestrator.config.overrides import parse_only, parse_shapes
from orchestrator.counting import several
from orchestrator.doctor.supplies import free_mb
from orchestrator.environments import MODELS_ENV, models_env, named_interpreters
from orchestrator.errors import ConfigError
from orchestrator.facts.seconds import load_seconds
from orchestrator.facts.sizes import load as load_sizes
from orchestrator.gpus import read_gpus
from orchestrator.hostfacts import read_host
from orchestrator.images.basechoice import overlaid
from orchestrator.images.builders import Builder
from orchestrator.images.cache import cache_dir
from orchestrator.isolation.base import Stop
from orchestrator.isolation.hostlock import StoppedWaitingError
from orchestrator.model import IsolationKind
from orchestrator.models.catalogue import ZOO
from orchestrator.models.prepare import prepare_file
from orchestrator.models.weights import bring
from orchestrator.models.zoo import ZOO_FORMATS
from orchestrator.modelset import ModelSet
from orchestrator.plan.absent import absent_notes, on_this_machine, time_here
from orchestrator.plan.disk import DiskNeed, disk_lines, disk_need
from orchestrator.plan.modelnotes import inspect_models
from orchestrator.plan.plan import Plan, make_plan
from orchestrator.plan.text import plan_json, plan_lines
from orchestrator.report.terminal import print_matrix
from orchestrator.rundir import RunDir, default_folder, standing
from orchestrator.workflow import Done, Work, choose_isolation, execute, failed_cells

DEFAULT_CONFIG = Path("matrix.yaml")
# Relative cost of one inference, only to choose a cheap anchor.
WEIGHTS = {model.name: float(model.multiply_adds) for model in ZOO.values()}


def add_commands(commands: Commands) -> None:
    """Add `run` and `plan`."""
    run = add(
        commands, "run", _run, "Measure a matrix: every backend on every model, in isolation, and report.",
        "infermatrix run model.onnx --shape input=1x3x224x224 --only backend=onnxruntime,openvino",
    )
    _add_matrix_arguments(run)
    run.add_argument("--out", metavar="DIR", type=Path, help="run directory (default: one per question below results/local)")
    run.add_argument("--base", metavar="REF", help="base image: auto, bootstrap[:SUITE] or a reference; then ,cuda=REF")
    run.add_argument("--builder", choices=[builder.value for builder in Builder], help="default: classic")
    run.add_argument("--quiet", action="store_true", help="no progress, only the matrix")
    run.add_argument("--json", action="store_true", help="print the path of matrix.json and the statuses as JSON")
    plan = add(
        commands, "plan", _plan, "Show cells, trials, excluded combinations and the time they take, without running anything.",
        "infermatrix plan -c matrix.yaml --set batch=1,8,32",
    )
    _add_matrix_arguments(plan)
    plan.add_argument("--json", action="store_true", help="as JSON")


def _add_matrix_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="*", metavar="MODEL", help="ONNX files or built-in names; without any: matrix.yaml")
    parser.add_argument("-c", "--config", metavar="FILE", type=Path, help="default: matrix.yaml of this folder")
    parser.add_argument("--set", metavar="AXIS=V[,V]", action="append", default=[], help="e.g. threads=1,2 or profile=standard")
    parser.add_argument("--only", metavar="AXIS=V[,V]", action="append", default=[], help="e.g. backend=onnxruntime")
    kinds = ["auto", *[kind.value for kind in IsolationKind]]
    parser.add_argument("--isolation", choices=kinds, help="default: docker, else venv")
    parser.add_argument("--shape", metavar="INPUT=DxD", action="append", default=[], help="dimensions that a file leaves open")
    parser.add_argument("--inputs", metavar="FILE", help="your own samples, .npz or .npy")
    parser.add_argument("--python", metavar="NAME=PATH", action="append", default=[], help="a row's interpreter")
    parser.add_argument("--profile", help="quick, standard or official")
    parser.add_argument("--budget", metavar="TIME", help="e.g. 10m: more trials where the ranking is open, until it is settled")
    add_backends(parser)


def _config(options: argparse.Namespace, registry: Registry) -> MatrixConfig:
    machine = detect_machine()
    sets = [*options.set, *(f"interpreters.{text}" for text in options.python)]
    sets += [f"profile={options.profile}"] if options.profile else []
    sets += [f"budget={options.budget}"] if options.budget else []
    sets += [f"isolation={options.isolation}"] if options.isolation else []
    shapes = parse_shapes(options.shape)
    if options.models:
        if options.config is not None:
            raise ConfigError("give either models or --config, not both", hint="models are listed in the matrix.yaml as well")
        return config_for_models(
            options.models, registry, builtin=ZOO, machine=machine, shapes=shapes, inputs=options.inputs, sets=sets
        )
    if shapes or options.inputs:
        raise ConfigError("--shape and --inputs go with a model file", hint="in a matrix.yaml: {path: …, shapes: {…}, inputs: …}")
    return load_matrix(options.config or DEFAULT_CONFIG, registry, models=ZOO, machine=machine, sets=sets)


def _make_plan(options: argparse.Namespace, registry: Registry, config: MatrixConfig, fixed: dict[str, int]) -> Plan:
    return make_plan(
        config, registry, only=parse_only(options.only), weights=WEIGHTS, fixed_batches=fixed, known=load_seconds(RESULTS))


def _plan(options: argparse.Namespace) -> int:
    registry = registry_of(options)
    config = _config(options, registry)
    inspected = inspect_models((*config.models, *config.extra_models))
    fixed = {model.name: model.fixed_batch for model in inspected if model.fixed_batch is not None}
    plan = _make_plan(options, registry, config, fixed)
    used = {name for cell in plan.cells for name in cell.members}
    notes = [note for model in inspected if model.name in used for note in model.notes]
    gpus = read_gpus()
    plan = replace(plan, warnings=(*plan.warnings, *notes, *absent_notes(plan, *gpus)),
                   estimate=time_here(plan, *gpus, load_seconds(RESULTS)))
    need, free_mb = _disk(on_this_machine(plan, *gpus), registry)
    if options.json:
        print(json.dumps({**plan_json(plan), "disk": {**asdict(need), "free_mb": free_mb}}, indent=1))
    else:
        print("\n".join([*plan_lines(plan), "", *disk_lines(need, config.isolation, free_mb)]))
    return 0


def _disk(plan: Plan, registry: Registry) -> tuple[DiskNeed, float | None]:
    """What the plan takes, and what the cache's file system has left."""
    need = disk_need(plan, registry, load_sizes(RESULTS), formats=ZOO_FORMATS, exporter=MODELS_ENV,
                     parameters={model.name: model.parameters for model in ZOO.values()})
    return need, free_mb(cache_dir())


def _run(options: argparse.Namespace) -> int:
    console = Console(quiet=options.quiet)
    cache = cache_dir()
    registry, facts = registry_of(options), read_host()
    config = _with_weights(_config(options, registry), cache / "weights", console)
    if options.base:
        config = _with_base(config, options.base)
    choice = choose_isolation(config.isolation)
    console.say(f"isolation: {choice.kind.value} — {choice.reason}")
    fixed = {}
    for entry in (*config.models, *config.extra_models):
        if entry.path is not None:
            # Whether a first dimension really is a batch shows only when the model is run.
            model = prepare_file(
                entry.path, name=entry.name, shapes=entry.shapes, inputs=entry.inputs, seed=config.seed,
                tolerance=entry.tolerance, cache_dir=cache / "models", progress=console.say,
            )
            if not model.batchable:
                fixed[entry.name] = model.fixed_batch
    plan = _make_plan(options, registry, config, fixed)
    if choice.kind is IsolationKind.INTERPRETER:  # a typo must not show only after waiting for the machine
        named_interpreters(config, (cell.label for cell in plan.cells))
    used = {name for cell in plan.cells for name in cell.members}
    models = ModelSet(
        entries=tuple(entry for entry in (*config.models, *config.extra_models) if entry.name in used),
        env=models_env(IMAGES), runner_dir=RUNNERS, cache=cache, seed=config.seed,
    )
    rundir = RunDir(folder=(options.out or default_folder(plan, choice.kind, RESULTS)).resolve())
    for line in standing(rundir.folder, program(), named=options.out is not None):
        console.say(line)
    rundir.begin(plan, choice.kind, choice.reason, facts)
    need, free_mb_now = _disk(on_this_machine(plan, facts.gpus, facts.gpus_reason), registry)
    console.say(disk_lines(need, choice.kind, free_mb_now)[0])
    work = Work(
        plan=plan, registry=registry, facts=facts, models=models, cache=cache, rundir=rundir, choice=choice,
        builder=Builder.chosen(options.builder), stop=Stop(), say=console.say,
    )
    try:
        with console.working("preparing"):
            done = execute(work)
    except StoppedWaitingError:
        raise KeyboardInterrupt from None
    return _tell(done, work, options, console)


def _with_weights(config: MatrixConfig, cache: Path, console: Console) -> MatrixConfig:
    """With a file for every model whose weights are named: before anything else, since a hub may not answer."""
    models, extra = (
        tuple(replace(m, weights=bring(m.weights, m.network, cache, console.say)) if m.weights else m for m in part)
        for part in (config.models, config.extra_models))
    return replace(config, models=models, extra_models=extra)


def _with_base(config: MatrixConfig, base: str) -> MatrixConfig:
    return replace(config, base=overlaid(config.base, base))


def _tell(done: Done, work: Work, options: argparse.Namespace, console: Console) -> int:
    folder = work.rundir.folder
    failed = failed_cells(done.matrix)
    if done.nothing_to_do:
        console.say("nothing to do: every cell is finished; --out DIR measures anew")
    elif done.tally.trials:
        tally = done.tally
        console.say(f"{several(tally.trials, 'trial')} in {tally.wall_s:.1f} s, "
                    f"{tally.phases_s:.1f} s of them in the trials' own phases")
    if options.json:
        statuses = {cell["id"]: cell["status"] for cell in done.matrix["cells"]}
        tally = done.tally
        answer = {
            "run": str(folder), "matrix": str(folder / "matrix.json"), "statuses": statuses, "trials": tally.trials,
            "repeated": tally.repeated, "wall_s": tally.wall_s, "phases_s": tally.phases_s,
        }
        json.dump(answer, sys.stdout, indent=1)
        print()
    else:
        print_matrix(done.matrix, report=folder / "report.html")
    if work.stop.requested:
        raise KeyboardInterrupt
    return 1 if failed else 0
