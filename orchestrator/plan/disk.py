"""How much disk a run takes before anything is fetched: environments, models, conversions. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.config.entries import ModelEntry
from orchestrator.facts.sizes import Size
from orchestrator.model import BackendSpec, IsolationKind
from orchestrator.plan.plan import Plan

_BYTES = 4  # of a weight in fp32
_BASE_MB = 560.0  # both base images, as bootstrapped from Debian 12
# The stage that installs stays on the engine beside the image that copies from it: the next build starts from it.
_IMAGE_COPIES = 2
_FORMATS_KEPT = 2  # of a built-in model: ONNX, and a program for torch
_NAMED = 4


@dataclass(frozen=True, kw_only=True)
class DiskNeed:
    """MB of 10⁶ bytes; what is there already is counted too."""

    environments: tuple[str, ...]
    environments_mb: float  # unpacked once
    wheels_mb: float
    models: tuple[str, ...]
    models_mb: float
    conversions: int
    conversions_mb: float
    unknown: tuple[str, ...] = ()  # environments whose size nobody measured

    def total_mb(self, kind: IsolationKind | None) -> float:
        """Under that isolation; None counts as containers, which take more."""
        files = self.wheels_mb + self.models_mb + self.conversions_mb
        if kind in (IsolationKind.VENV, IsolationKind.INTERPRETER):
            return files + self.environments_mb
        return files + self.environments_mb * _IMAGE_COPIES + _BASE_MB


def disk_need(
    plan: Plan, registry: Mapping[str, BackendSpec], sizes: Mapping[str, Size], *,
    parameters: Mapping[str, int], formats: Iterable[str], exporter: str,
) -> DiskNeed:
    """`parameters`: of built-in models, by name; `formats`: that they come in; `exporter`: the environment that makes them."""
    used = {name for cell in plan.cells for name in cell.members}
    entries = {entry.name: entry for entry in (*plan.config.models, *plan.config.extra_models) if entry.name in used}
    weights_mb = {name: _weights_mb(entry, parameters) for name, entry in entries.items()}
    comes_in = {name: set(formats) if entry.path is None else {"onnx"} for name, entry in entries.items()}
    built_in = [name for name, entry in entries.items() if entry.path is None]
    environments, conversions = [exporter] if built_in else [], set()
    for cell in plan.cells:
        spec = registry[cell.backend]
        environments.append(spec.env.name)
        for name in cell.members:
            if spec.converter and (spec.must_convert(cell.precision) or not comes_in[name] & set(spec.formats)):
                environments.append(spec.converter.env.name)
                conversions.add((spec.converter.by, cell.precision, name))
    environments = list(dict.fromkeys(environments))
    known = [sizes[name] for name in environments if name in sizes]
    return DiskNeed(
        environments=tuple(environments), environments_mb=sum(size.installed_mb for size in known),
        wheels_mb=sum(size.wheels_mb or 0.0 for size in known),
        models=tuple(weights_mb), models_mb=sum(_FORMATS_KEPT * weights_mb[name] for name in built_in),
        conversions=len(conversions), conversions_mb=sum(weights_mb[name] for _, _, name in conversions),
        unknown=tuple(name for name in environments if name not in sizes),
    )


def _weights_mb(entry: ModelEntry, parameters: Mapping[str, int]) -> float:
    if entry.path is None:
        return parameters.get(entry.network, 0) * _BYTES / 1e6
    return entry.path.stat().st_size / 1e6 if entry.path.is_file() else 0.0


def disk_lines(need: DiskNeed, kind: IsolationKind | None, free_mb: float | None) -> list[str]:
    """For people: the sum first, then what it is made of."""
    more = f", more with {_some(need.unknown)}, whose size was not measured" if need.unknown else ""
    free = "" if free_mb is None else f"; {_gb(free_mb)} free for the cache"
    where = "in virtual environments" if kind in (IsolationKind.VENV, IsolationKind.INTERPRETER) else "in containers"
    lines = [f"Disk: about {_gb(need.total_mb(kind))} in all {where}, what is there already included{more}{free}"]
    parts = [f"{len(need.environments)} environments {_gb(need.environments_mb)} unpacked, their wheels {_gb(need.wheels_mb)}",
             f"{len(need.models)} models {_gb(need.models_mb)}", f"{need.conversions} conversions {_gb(need.conversions_mb)}"]
    lines.append(f"  {'; '.join(parts)}" + ("" if where.endswith("environments") else "; images keep what installed them: twice"))
    return lines


def _gb(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 100 else f"{megabytes:.0f} MB"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} others" if len(names) > _NAMED else "")
