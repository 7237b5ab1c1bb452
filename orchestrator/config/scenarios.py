"""`scenarios` as values: a bare name, or a mapping with the scenario's own options, each of which may list several values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from orchestrator.config.nearest import did_you_mean, listed
from orchestrator.config.yamlfile import Document
from orchestrator.model import Scalar, Scenario

ALL = "all"
OPTIONS: Mapping[Scenario, Mapping[str, tuple[Scalar, ...]]] = {
    # the bound that a rate must meet, on which percentile of latency, and how long a request may wait for others
    Scenario.SERVER: {"target_ms": (15.0,), "percentile": (99.0,), "max_delay_ms": (2.0,)},
    # whether a backend gets a batch as such, or its rows one after the other (what a harness that loops over rows measures)
    Scenario.OFFLINE: {"feeding": ("batch",)},
    # whether the backend's own cache was filled by an earlier process
    Scenario.COLD_START: {"cache": ("cold", "warm")},
    # whether the members share one process or have one each
    Scenario.ENSEMBLE: {"layout": ("one_process", "processes")},
}
"""Options of a scenario, with what they are where the file is silent; each becomes part of the cell."""
ORDINARY: Mapping[str, Scalar] = {"feeding": "batch"}
"""Values that are not written into a cell: it is the same cell as before the option existed."""
BATCHES: Mapping[Scenario, tuple[int, ...]] = {
    Scenario.SINGLE_STREAM: (1,), Scenario.MULTI_INSTANCE: (1,), Scenario.SERVER: (8,), Scenario.COLD_START: (1,),
    Scenario.ENSEMBLE: (1,),
}
"""Batch sizes of a scenario that does not say its own; a scenario that is not here takes the axis `batch`."""


@dataclass(frozen=True, kw_only=True)
class ScenarioEntry:
    """One entry of `scenarios`."""

    scenario: Scenario
    batches: tuple[int, ...] | None = None  # None: those of the axis `batch`
    instances: tuple[int, ...] | None = (1,)  # None: every number that divides the cores
    options: tuple[Mapping[str, Scalar], ...] = ({},)  # a cell for each
    members: tuple[str, ...] = field(default=())  # ensemble: names of models

    def layouts(self, cores: int) -> tuple[tuple[int, int], ...]:
        """(instances, threads of each) on so many cores; numbers that do not divide them are left out."""
        wanted = self.instances if self.instances is not None else range(1, cores + 1)
        return tuple((number, cores // number) for number in wanted if cores % number == 0)


def read_scenarios(document: Document) -> tuple[ScenarioEntry, ...]:
    """Every entry of a checked document. Raises ConfigError for an option that the scenario has not."""
    entries = []
    for index, raw in enumerate(document.value.get("scenarios", ("single_stream", "offline"))):
        given = {"scenario": raw} if isinstance(raw, str) else dict(raw)
        scenario = Scenario(given.pop("scenario"))
        allowed = [*OPTIONS.get(scenario, {}), *_EXTRA.get(scenario, ())]
        for key in given:
            if key not in allowed:
                has = f"It has: {listed(allowed)}." if allowed else "It has no options."
                near = did_you_mean(key, allowed)
                raise document.error(("scenarios", index, key), f"{scenario.value} has no option `{key}`{near}", hint=has)
        if scenario is Scenario.ENSEMBLE and len(given.get("members", ())) < 2:
            raise document.error(
                ("scenarios", index), "an ensemble needs `members`, two models or more",
                hint="- {scenario: ensemble, members: [resnet50, mobilenet_v2]}",
            )
        entries.append(_entry(scenario, given))
    return tuple(entries)


def default_entry(scenario: Scenario) -> ScenarioEntry:
    """The scenario as its bare name means it."""
    return _entry(scenario, {})


_EXTRA: Mapping[Scenario, tuple[str, ...]] = {
    Scenario.OFFLINE: ("batch",), Scenario.MULTI_INSTANCE: ("instances", "batch"), Scenario.SERVER: ("batch",),
    Scenario.ENSEMBLE: ("members", "batch"),
}


def _entry(scenario: Scenario, given: Mapping[str, Any]) -> ScenarioEntry:
    defaults = OPTIONS.get(scenario, {})
    values = {name: _several(given.get(name, default)) for name, default in defaults.items()}
    options = tuple(
        {name: value for name, value in zip(values, chosen, strict=True) if (name, value) not in ORDINARY.items()}
        for chosen in product(*values.values())
    )
    batches = tuple(map(_whole, _several(given["batch"]))) if "batch" in given else BATCHES.get(scenario)
    instances: tuple[int, ...] | None = (1,)
    if scenario is Scenario.MULTI_INSTANCE:
        asked = given.get("instances", ALL)
        instances = None if asked == ALL else tuple(map(_whole, _several(asked)))
    return ScenarioEntry(
        scenario=scenario, batches=batches, instances=instances, options=options, members=tuple(given.get("members", ()))
    )


def _whole(value: Scalar) -> int:
    assert isinstance(value, (int, float))  # the schema saw to it
    return int(value)


def _several(value: Any) -> tuple[Scalar, ...]:
    found: Sequence[Any] = value if isinstance(value, (list, tuple)) else (value,)
    return tuple(float(one) if isinstance(one, (int, float)) and not isinstance(one, bool) else one for one in found)
