"""Combinations of the axes, and GitHub Actions' laws for leaving some out and putting some in.

The laws (docs.github.com, "Running variations of jobs in a workflow"): an exclude removes every combination that agrees
with all its keys; includes come after all excludes; an include extends every *original* combination whose axes it does
not change, and becomes a combination of its own where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from orchestrator.config.matrix import MatrixConfig
from orchestrator.config.nearest import listed
from orchestrator.config.rules import Rule
from orchestrator.config.scenarios import ORDINARY, ScenarioEntry, default_entry
from orchestrator.errors import ConfigError
from orchestrator.model import MEMBERS_JOIN, BackendEntry, Scalar, Scenario

AxisValue = str | int
_AXIS_KEYS = {"model": "models", "host": "hosts", "device": "devices", "threads": "threads", "precision": "precision",
              "batch": "batch", "scenario": "scenarios"}


@dataclass(frozen=True, slots=True)
class Combo:
    """One combination; `settings` are its row's, unless an include changed them."""

    entry: BackendEntry
    model: str
    host: str
    device: str
    precision: str
    threads: int
    scenario: Scenario
    batch: int
    settings: Mapping[str, Scalar]
    instances: int = 1
    options: Mapping[str, Scalar] = field(default_factory=dict)

    def axis(self, name: str) -> AxisValue:
        """The coordinate that rules call by that name."""
        if name == "label":
            return self.entry.label
        if name == "backend":
            return self.entry.backend
        if name == "feeding":
            return str(self.options.get(name, ORDINARY[name]))
        value: AxisValue | Scenario = getattr(self, name)
        return value.value if isinstance(value, Scenario) else value

    def agrees(self, match: Mapping[str, AxisValue]) -> bool:
        """True if every axis that `match` names has its value."""
        return all(self.axis(name) == value for name, value in match.items())

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for equal cells, and only for those."""
        settings = tuple(sorted((name, type(value).__name__, value) for name, value in self.settings.items()))
        return (self.entry.label, self.entry.backend, self.entry.version, self.entry.compiled, self.model, self.host, self.device,
                self.precision, self.threads, self.scenario, self.batch, settings, self.instances,
                tuple(sorted(self.options.items())))


def product(config: MatrixConfig) -> Iterator[Combo]:
    """Every combination of the axes, in the file's order; single_stream has batch 1, whatever `batch` says.

    An ensemble is a model of its own, whose members the scenario names: it comes once, after all models.
    """
    plain = [load for load in config.scenarios if not load.members]
    loads = [(model.name, plain) for model in config.models]
    loads += [(MEMBERS_JOIN.join(load.members), [load]) for load in config.scenarios if load.members]
    for model, scenarios in loads:
        for row in config.backends:
            for host in config.hosts:
                for device in row.devices or config.devices:
                    for precision in config.precisions:
                        for cores in config.threads:
                            for load in scenarios:
                                for instances, threads in load.layouts(cores):
                                    for batch in _batches(config, load):
                                        for options in load.options:
                                            yield Combo(row.entry, model, host, device, precision, threads, load.scenario,
                                                        batch, row.entry.settings, instances, options)


def split(combos: Iterable[Combo], rules: Iterable[Rule]) -> tuple[list[Combo], list[tuple[Combo, str]], list[str]]:
    """What stays, what an exclude removes (with where that exclude stands), and the excludes that removed nothing."""
    rules = list(rules)
    kept: list[Combo] = []
    removed: list[tuple[Combo, str]] = []
    idle = {rule.where: rule for rule in rules}
    for combo in combos:
        hits = [rule for rule in rules if combo.agrees(rule.match)]
        for rule in hits:
            idle.pop(rule.where, None)
        if hits:
            removed.append((combo, f"excluded at {hits[0].where}"))
        else:
            kept.append(combo)
    return kept, removed, [f"{where}: this exclude agrees with no combination" for where in idle]


def include(config: MatrixConfig, originals: list[Combo]) -> tuple[list[Combo], list[str]]:
    """The combinations after every include, new ones last; and a note on each include that changed nothing.

    All are distinct: an include that would repeat an original agrees with it, hence extends it. Raises ConfigError for
    two includes that add the same one.
    """
    given = {row.entry.label: row.given for row in config.backends}
    current = list(originals)
    added: dict[tuple[object, ...], tuple[Combo, Rule]] = {}
    notes: list[str] = []
    for rule in config.include:
        hits = [i for i, original in enumerate(originals) if original.agrees(rule.match) and _extends(original, rule, given)]
        for i in hits:
            current[i] = replace(current[i], settings={**current[i].settings, **rule.settings})
        if not hits:
            new = _new(config, rule)
            if new.key in added:
                raise ConfigError(f"{rule.where}: this include adds the same cell as the one at {added[new.key][1].where}")
            added[new.key] = (new, rule)
        elif not rule.settings:
            notes.append(f"{rule.where}: this include adds nothing, its combinations are there already")
    return current + [combo for combo, _ in added.values()], notes


def _extends(original: Combo, rule: Rule, given: Mapping[str, frozenset[str]]) -> bool:
    """An include may add to what a row leaves at its default, but not overwrite what the row itself says."""
    written = given[original.entry.label]
    return all(name not in written or original.settings[name] == value for name, value in rule.settings.items())


def _batches(config: MatrixConfig, load: ScenarioEntry) -> tuple[int, ...]:
    return config.batches if load.batches is None else load.batches


def _new(config: MatrixConfig, rule: Rule) -> Combo:
    """The combination that an include makes by itself; an axis it leaves open must have one value only."""
    entry = _entry(config, rule)
    load = _load(config, rule)
    batches = _batches(config, load)
    options = _options(rule, load)
    return Combo(
        entry=entry,
        model=str(_only(rule, "model", [m.name for m in config.models])),
        host=str(_only(rule, "host", config.hosts)),
        device=str(_only(rule, "device", config.devices)),
        precision=str(_only(rule, "precision", config.precisions)),
        threads=int(_only(rule, "threads", config.threads)),
        scenario=load.scenario,
        batch=int(_only(rule, "batch", batches)),
        settings={**entry.settings, **rule.settings},
        instances=int(rule.match.get("instances", 1)),
        options=options,
    )


def _options(rule: Rule, load: ScenarioEntry) -> Mapping[str, Scalar]:
    """Those of a combination that an include makes; the way of feeding is the one option that it can name itself."""
    if "feeding" in rule.match:
        if load.scenario is not Scenario.OFFLINE:
            raise ConfigError(f"{rule.where}: {load.scenario.value} has no `feeding`", hint="It is an option of offline.")
        return {} if rule.match["feeding"] == ORDINARY["feeding"] else {"feeding": rule.match["feeding"]}
    if len(load.options) > 1:
        raise ConfigError(
            f"{rule.where}: this include adds a {load.scenario.value} cell of its own, and that scenario has several options",
            hint="Give the scenario one value for each of its options under `scenarios`.",
        )
    return load.options[0]


def _entry(config: MatrixConfig, rule: Rule) -> BackendEntry:
    if rule.row is not None:
        return rule.row.entry
    rows = [row.entry for row in config.backends if rule.match.get("backend") in (None, row.entry.backend)]
    if len(rows) == 1:
        return rows[0]
    raise _open(rule, "label", [entry.label for entry in rows])


def _load(config: MatrixConfig, rule: Rule) -> ScenarioEntry:
    """A batch above 1 leaves offline only, so that need not be said."""
    if "scenario" in rule.match:
        name = Scenario(rule.match["scenario"])
    elif int(rule.match.get("batch", 1)) > 1:
        name = Scenario.OFFLINE
    else:
        name = Scenario(_only(rule, "scenario", [load.scenario.value for load in config.scenarios]))
    return next((load for load in config.scenarios if load.scenario is name), default_entry(name))


def _only(rule: Rule, axis: str, values: Iterable[AxisValue]) -> AxisValue:
    if axis in rule.match:
        return rule.match[axis]
    options = list(values)
    if len(options) == 1:
        return options[0]
    raise _open(rule, axis, options)


def _open(rule: Rule, axis: str, options: Iterable[AxisValue]) -> ConfigError:
    several = f"`{_AXIS_KEYS.get(axis, 'backends')}` has several"
    return ConfigError(
        f"{rule.where}: this include adds a cell of its own, so it must say which `{axis}` ({listed(options)})",
        hint=f"It agrees with no combination of the axes, and {several}.",
    )
