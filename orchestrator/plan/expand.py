"""A `MatrixConfig` → the cells to measure, those left out (and why), and those that a backend declares it cannot do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.config.matrix import MatrixConfig
from orchestrator.config.nearest import did_you_mean, listed
from orchestrator.config.overrides import Only
from orchestrator.counting import several
from orchestrator.errors import ConfigError
from orchestrator.model import BackendSpec, Cell, Compiled
from orchestrator.plan.combos import Combo, include, product, split


@dataclass(frozen=True, kw_only=True)
class Excluded:
    """A combination that is not measured because someone said so."""

    cell: Cell
    why: str


@dataclass(frozen=True, kw_only=True)
class Unsupported:
    """A cell whose status is known beforehand: its backend declares that it cannot do this."""

    cell: Cell
    reason: str


@dataclass(frozen=True, kw_only=True)
class Expansion:
    """All combinations, each in exactly one of three places."""

    cells: tuple[Cell, ...]
    excluded: tuple[Excluded, ...]
    unsupported: tuple[Unsupported, ...]
    warnings: tuple[str, ...] = ()


def expand(config: MatrixConfig, registry: Mapping[str, BackendSpec], only: Only | None = None) -> Expansion:
    """Axes → product → excludes → includes → `--only`. Linear in combinations × rules.

    Raises ConfigError for a cell that is asked for twice, an include that leaves an axis open, a filter value that
    occurs nowhere, and where nothing is left.
    """
    kept, removed, idle = split(product(config), config.exclude)
    combos, notes = include(config, kept)
    present = {combo.key for combo in combos} if config.include else set()
    excluded = [(combo, why) for combo, why in removed if combo.key not in present]  # an include may bring one back
    if only is not None and only.allowed:
        combos, left_out = _filtered([*combos, *(combo for combo, _ in excluded)], len(combos), only)
        excluded = [(combo, why) for combo, why in excluded if _passes(combo, only)] + left_out
    cores = len(config.limits.cpus)
    runnable: list[Cell] = []
    unsupported: list[Unsupported] = []
    for combo in combos:
        if combo.threads * combo.instances > cores:
            many = f"{combo.instances} instances of " if combo.instances > 1 else ""
            each = f"{many}{several(combo.threads, 'thread')}"
            excluded.append((combo, f"{each}, but this run may use {several(cores, 'core')}"))
            continue
        reason = _cannot(registry[combo.entry.backend], combo)
        if reason is None:
            runnable.append(_cell(combo))
        else:
            unsupported.append(Unsupported(cell=_cell(combo), reason=reason))
    if not runnable and not unsupported:
        whys = listed(dict.fromkeys(why for _, why in excluded))
        raise ConfigError(f"{config.source}: no cell is left to measure", hint=f"Left out: {whys}." if whys else "")
    return Expansion(
        cells=tuple(runnable), excluded=tuple(Excluded(cell=_cell(combo), why=why) for combo, why in excluded),
        unsupported=tuple(unsupported), warnings=(*idle, *notes),
    )


def _cell(combo: Combo) -> Cell:
    return Cell(
        label=combo.entry.label, backend=combo.entry.backend, settings=combo.settings, backend_version=combo.entry.version,
        model=combo.model, host=combo.host, device=combo.device, precision=combo.precision, batch=combo.batch,
        threads=combo.threads, instances=combo.instances, scenario=combo.scenario,
        options=combo.options, compiled=combo.entry.compiled,
    )


def _cannot(spec: BackendSpec, combo: Combo) -> str | None:
    """Why the backend, by its own declaration, cannot do this; None if it can."""
    if combo.device.partition(":")[0] not in spec.devices:
        return f"{spec.title} does not run on {combo.device} here (it runs on {listed(spec.devices)})"
    alone = combo.instances == 1 and combo.scenario.shares_a_load
    if combo.entry.compiled is Compiled.KEPT and not alone:
        return f"what was compiled is kept for one process's single_stream and offline only, not for {_load(combo)}"
    if combo.precision not in spec.precisions:
        why = spec.unavailable.get(combo.precision)
        if why:
            return f"{spec.title} has no precision {combo.precision} here: {why}"
        return f"{spec.title} has no precision {combo.precision} here (it has {listed(spec.precisions)})"
    return None


def _load(combo: Combo) -> str:
    return combo.scenario.value if combo.instances == 1 else f"{combo.instances} instances"


def _filtered(every: list[Combo], count: int, only: Only) -> tuple[list[Combo], list[tuple[Combo, str]]]:
    """The first `count` of `every` by whether they pass; the rest only says which values exist at all."""
    for axis, wanted in only.allowed.items():
        known = dict.fromkeys(str(combo.axis(axis)) for combo in every)
        for value in wanted:
            if value not in known:
                raise ConfigError(
                    f"--only {axis}={value}: no cell has it{did_you_mean(value, known)}", hint=f"There are: {listed(known)}."
                )
    kept: list[Combo] = []
    left_out: list[tuple[Combo, str]] = []
    why = f"left out by {only}"
    for combo in every[:count]:
        if _passes(combo, only):
            kept.append(combo)
        else:
            left_out.append((combo, why))
    return kept, left_out


def _passes(combo: Combo, only: Only) -> bool:
    return all(str(combo.axis(axis)) in wanted for axis, wanted in only.allowed.items())
