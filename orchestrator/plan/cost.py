"""How long a run will take, about: from the profile, what was measured of such loads before, and stated assumptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.counting import several
from orchestrator.facts.seconds import Known, Took
from orchestrator.model import Cell, Profile, TrialSpec


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What one trial and one cell cost beside the timed loop, seconds."""

    start_s: float = 0.5  # process or container
    import_load_s: float = 1.2  # import, load, compile
    probe_s: float = 0.3  # both probes of the machine's state
    cell_s: float = 0.2  # first inference, comparison with the reference
    slower: float = 1.15  # loops end after an iteration, not in one; large models need longer for min_iterations

    @property
    def overhead_s(self) -> float:
        """Of a trial beside its cells."""
        return self.start_s + self.import_load_s + self.probe_s

    def sentences(self, profile: Profile, known: int = 0, loads: int = 0) -> tuple[str, ...]:
        """The same in words, for whoever reads the plan; `known` of the `loads` were measured in some run."""
        assumed = f"{self.overhead_s:g} s per trial to start, import, load and probe"
        if known:
            measured = f"as results/seconds.json has it for {known} of {several(loads, 'model load')}"
            others = f", {self.overhead_s:g} s for the others" if known < loads else ""
            assumed = f"per trial to start, import, load and probe: {measured}{others}"
        return (
            assumed,
            f"{profile.warmup_s + profile.min_duration_s:g} s per cell of warm-up and timed loop, {self.slower - 1:.0%} on top",
            "no preparation of images, environments, models or conversions; no repeated trials",
            f"at most: every trial runs into its limit of {profile.trial_timeout_s:g} s, or all its cells into theirs of "
            f"{profile.max_cell_s:g} s",
        )


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Seconds that the trials take."""

    trials: int  # anchors included
    seconds: float
    at_most_s: float
    assumptions: tuple[str, ...]


def estimate(
    specs: Sequence[TrialSpec], profile: Profile, *, anchors: int = 0, assumptions: Assumptions | None = None,
    known: Known | None = None,
) -> Estimate:
    """The time of all trials of all specs, and of `anchors` more trials of one cell each."""
    assumed = assumptions or Assumptions()
    sizes = [len(spec.cells) for spec in specs]
    took = [known.of(spec.cells[0]) if known else None for spec in specs]
    each = [_trial(spec.cells, profile, assumed, one) for spec, one in zip(specs, took, strict=True)]
    likely = sum(each) * profile.trials + anchors * _trial(specs[0].cells[:1], profile, assumed, None) if specs else 0.0
    worst = sum(_worst(size, profile, assumed) for size in sizes) * profile.trials + anchors * _worst(1, profile, assumed)
    return Estimate(
        trials=len(specs) * profile.trials + anchors, seconds=likely, at_most_s=max(likely, worst),
        assumptions=assumed.sentences(profile, sum(one is not None for one in took), len(specs)),
    )


def _trial(cells: Sequence[Cell], profile: Profile, assumed: Assumptions, took: Took | None) -> float:
    if took is None:
        loop = (profile.warmup_s + profile.min_duration_s) * assumed.slower + assumed.cell_s
        return assumed.overhead_s + len(cells) * loop
    if took.inference_ms is None and took.overhead_s == 0:
        return 0.0  # it ended before a process was started
    row_s = (took.inference_ms or 0.0) / 1e3
    loops = (_loop(profile, assumed, row_s * cell.batch) for cell in cells)
    return min(profile.trial_timeout_s, took.overhead_s + sum(loops))


def _loop(profile: Profile, assumed: Assumptions, inference_s: float) -> float:
    """Warm-up and timed loop; a large model's take as long as its fewest inferences."""
    least = profile.min_iterations * inference_s
    took = max(profile.warmup_s, inference_s) + max(profile.min_duration_s * assumed.slower, least)
    return min(profile.max_cell_s + inference_s, took)


def _worst(cells: int, profile: Profile, assumed: Assumptions) -> float:
    overhead = assumed.overhead_s
    return min(profile.trial_timeout_s, overhead + cells * (profile.warmup_s + profile.max_cell_s))
