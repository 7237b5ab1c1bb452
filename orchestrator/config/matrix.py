"""`MatrixConfig`: what a matrix.yaml (or the command line) asks for, checked against the registry and this machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from orchestrator.backends import Registry
from orchestrator.config.ablation import read_backends
from orchestrator.config.check import checked
from orchestrator.config.durations import parse_duration
from orchestrator.config.entries import BackendRow, ModelEntry, read_devices, read_members, read_models
from orchestrator.config.machine import Machine
from orchestrator.config.nearest import did_you_mean, listed
from orchestrator.config.overrides import with_sets
from orchestrator.config.profiles import MIN_ENOUGH, MIN_TRIALS, PROFILES
from orchestrator.config.rules import Rule, read_rules
from orchestrator.config.scenarios import ScenarioEntry, read_scenarios
from orchestrator.config.yamlfile import Document, load_document
from orchestrator.errors import ConfigError
from orchestrator.model import IsolationKind, Limits, Profile

ALL_CORES = "all"


@dataclass(frozen=True, kw_only=True)
class MatrixConfig:
    """One matrix as asked for: axes, rules and how to measure. Names are resolved, defaults filled in."""

    name: str
    source: str  # the file as the user named it, or "command line"
    profile: Profile
    isolation: IsolationKind | None  # None: auto
    interpreters: Mapping[str, Path] = field(default_factory=dict)  # label or backend -> its Python
    base: str = "auto"  # auto | bootstrap:<suite> | an image's reference; then, where there is one, ",cuda=" and a reference
    seed: int = 1
    minimum_effect: float = 0.02
    budget_s: float | None = None  # of all trials; None: the profile's trials and no more
    hosts: tuple[str, ...]
    models: tuple[ModelEntry, ...]
    backends: tuple[BackendRow, ...]
    devices: tuple[str, ...]
    precisions: tuple[str, ...]
    threads: tuple[int, ...]
    batches: tuple[int, ...]
    scenarios: tuple[ScenarioEntry, ...]
    exclude: tuple[Rule, ...] = ()
    include: tuple[Rule, ...] = ()
    extra_models: tuple[ModelEntry, ...] = ()  # named by `include` only
    extra_backends: tuple[BackendRow, ...] = ()  # likewise
    limits: Limits

    def model(self, name: str) -> ModelEntry:
        """The model of that name, on the axis or from an include."""
        return next(m for m in (*self.models, *self.extra_models) if m.name == name)

    def row(self, label: str) -> BackendRow:
        """The backend row of that label, on the axis or from an include."""
        return next(r for r in (*self.backends, *self.extra_backends) if r.entry.label == label)

    def interpreter(self, label: str) -> Path:
        """The Python that a row runs in under `interpreter` isolation. Raises ConfigError where none is named."""
        backend = self.row(label).entry.backend
        path = self.interpreters.get(label, self.interpreters.get(backend))
        if path is None:
            raise ConfigError(
                f"{self.source}: interpreter isolation needs a Python for `{label}`",
                hint=f"Name it under `interpreters`, or with --set interpreters.{label}=/path/to/python.",
            )
        return path


def load_matrix(
    path: Path, registry: Registry, *, models: Collection[str], machine: Machine, sets: Sequence[str] = ()
) -> MatrixConfig:
    """Read a matrix.yaml; `models` are the built-in models' names, `sets` the `--set` options in order.

    Raises ConfigError: one sentence that begins with `file:line` (or the option at fault).
    """
    return config_from(load_document(path), registry, models=models, machine=machine, sets=sets)


def config_from(
    document: Document, registry: Registry, *, models: Collection[str], machine: Machine, sets: Sequence[str] = ()
) -> MatrixConfig:
    """As `load_matrix`, from a document that was read or put together already."""
    document = checked(with_sets(document, sets), "matrix")
    data: dict[str, Any] = document.value
    rows = read_backends(document, registry)
    entries = read_models(document, models)
    rules = read_rules(document, registry, rows=rows, models=entries, builtin=models, cores=len(machine.cpus))
    scenarios = read_scenarios(document)
    members = read_members(document, [*entries, *rules.extra_models], models)
    limits = _limits(document, machine)
    return MatrixConfig(
        name=data.get("name", _stem(document)),
        source=document.name,
        profile=_profile(document),
        isolation=_isolation(data.get("isolation", "auto")),
        interpreters=_interpreters(document, [*rows, *rules.extra_backends], registry),
        base=_base(document),
        seed=int(data.get("seed", 1)),
        minimum_effect=float(data.get("minimum_effect", 0.02)),
        budget_s=_budget(document),
        hosts=_hosts(document),
        models=entries,
        backends=rows,
        devices=read_devices(document, ("devices",), document.value.get("devices", ["cpu"]), registry),
        precisions=tuple(data.get("precision", ("fp32",))),
        threads=_threads(data.get("threads", (ALL_CORES,)), cores=len(limits.cpus)),
        batches=tuple(int(b) for b in data.get("batch", (1,))),
        scenarios=scenarios,
        exclude=rules.exclude,
        include=rules.include,
        extra_models=(*rules.extra_models, *members),
        extra_backends=rules.extra_backends,
        limits=limits,
    )


def _stem(document: Document) -> str:
    stem = Path(document.name).stem
    return "".join(c if c.isascii() and (c.isalnum() or c in "._+-") else "_" for c in stem)[:60] or "matrix"


def _profile(document: Document) -> Profile:
    """A built-in profile, or one that extends it: then under another name, since its numbers mean something else."""
    raw = document.value.get("profile", "quick")
    if isinstance(raw, str):
        if raw not in PROFILES:
            near = did_you_mean(raw, PROFILES)
            raise document.error(
                ("profile",), f"unknown profile `{raw}`{near}", hint=f"Known profiles: {listed(PROFILES)}."
            )
        return PROFILES[raw]
    base = PROFILES[raw["extends"]]
    types = {f.name: type(getattr(base, f.name)) for f in fields(Profile)}
    changes = {key: types[key](value) for key, value in raw.items() if key not in ("extends", "name")}
    name = raw.get("name", f"{base.name}-custom" if changes else base.name)
    if changes and name in PROFILES:
        raise document.error(("profile", "name"), f"`{name}` is a built-in profile's name; choose another")
    profile = replace(base, name=name, **changes)
    least = MIN_TRIALS[base.name]
    if profile.trials < least:
        raise document.error(
            ("profile", "trials"),
            f"`trials` must be at least {least} in a profile that extends `{base.name}`, not {profile.trials}",
            hint="One process says little about the next one: fresh processes of identical things differ.",
        )
    if profile.enough and not MIN_ENOUGH[base.name] <= profile.enough <= profile.trials:
        raise document.error(
            ("profile", "enough"),
            f"`enough` must be {MIN_ENOUGH[base.name]} to {profile.trials} in this profile that extends `{base.name}`",
            hint="It says how many trials must count before a disturbed one is left as it is; 0: all.")
    if profile.min_iterations > profile.max_iterations:
        raise document.error(("profile", "min_iterations"), "`min_iterations` must not exceed `max_iterations`")
    if profile.max_cell_s < profile.min_duration_s:
        raise document.error(("profile", "max_cell_s"), "`max_cell_s` must not be less than `min_duration_s`")
    return profile


def _budget(document: Document) -> float | None:
    text = document.value.get("budget")
    if text is None:
        return None
    seconds = parse_duration(text)
    if seconds <= 0:
        raise document.error(("budget",), "`budget` must be more than no time at all", hint="Without it: the profile's trials.")
    return seconds


def _isolation(word: str) -> IsolationKind | None:
    return None if word == "auto" else IsolationKind(word)


def _base(document: Document) -> str:
    raw: Mapping[str, str] = document.value.get("base", {})
    if "image" in raw and "bootstrap" in raw:
        raise document.error(("base", "bootstrap"), "`base` takes one of `image` and `bootstrap`, not both")
    plain = raw.get("image") or (f"bootstrap:{raw['bootstrap']}" if "bootstrap" in raw else "auto")
    return f"{plain},cuda={raw['cuda']}" if "cuda" in raw else plain


def _interpreters(document: Document, rows: Sequence[BackendRow], registry: Registry) -> dict[str, Path]:
    known = [*(row.entry.label for row in rows), *registry]
    result = {}
    for key, path in document.value.get("interpreters", {}).items():
        if key not in known:
            raise document.error(
                ("interpreters", key), f"`{key}` is neither a label nor a backend{did_you_mean(key, known)}"
            )
        result[key] = document.folder / Path(path).expanduser()
    return result


def _hosts(document: Document) -> tuple[str, ...]:
    names = [h if isinstance(h, str) else h["name"] for h in document.value.get("hosts", ["local"])]
    for index, name in enumerate(names):
        if name != "local":
            raise document.error(
                ("hosts", index), f"unknown host `{name}`; trials run on `local` only, the machine this is started on"
            )
        if name in names[:index]:
            raise document.error(("hosts", index), f"host `{name}` is listed twice")
    return tuple(names)


def _threads(raw: Sequence[int | str], *, cores: int) -> tuple[int, ...]:
    """Numbers, with `all` resolved; on a small machine `all` may equal a number beside it and is then the same."""
    return tuple(dict.fromkeys(cores if t == ALL_CORES else int(t) for t in raw))


def _limits(document: Document, machine: Machine) -> Limits:
    raw = document.value.get("limits", {})
    cpus = tuple(int(c) for c in raw.get("cpus", machine.cpus))
    for index, cpu in enumerate(cpus):
        if cpu not in machine.cpus:
            raise document.error(
                ("limits", "cpus", index),
                f"core {cpu} is not among those this run may use ({listed(machine.cpus)})",
            )
    limits = Limits(cpus=cpus, memory_mb=int(raw.get("memory_mb", machine.memory_mb)))
    return replace(limits, pids=int(raw["pids"])) if "pids" in raw else limits
