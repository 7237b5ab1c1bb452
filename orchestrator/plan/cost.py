"""How long a run will take, about: from the profile and stated assumptions, before anything is known of the models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.model import Profile, TrialSpec


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What one trial and one cell cost beside the timed loop, seconds."""

    start_s: float = 0.5  # process or container
    import_load_s: float = 1.2  # import, load, compile
    probe_s: float = 0.3  # both probes of the machine's state
    cell_s: float = 0.2  # first inference, comparison with the reference
    slower: float = 1.15  # loops end after an iteration, not in one; large models need longer for min_iterations

    def sentences(self, profile: Profile) -> tuple[str, ...]:
        """The same in words, for whoever reads the plan."""
        return (
            f"{self.start_s + self.import_load_s + self.probe_s:g} s per trial to start, import, load and probe",
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
    specs: Sequence[TrialSpec], profile: Profile, *, anchors: int = 0, assumptions: Assumptions | None = None
) -> Estimate:
    """The time of all trials of all specs, and of `anchors` more trials of one cell each."""
    assumed = assumptions or Assumptions()
    sizes = [len(spec.cells) for spec in specs]
    likely = sum(_trial(size, profile, assumed) for size in sizes) * profile.trials + anchors * _trial(1, profile, assumed)
    worst = sum(_worst(size, profile, assumed) for size in sizes) * profile.trials + anchors * _worst(1, profile, assumed)
    return Estimate(
        trials=len(specs) * profile.trials + anchors, seconds=likely, at_most_s=max(likely, worst),
        assumptions=assumed.sentences(profile),
    )


def _trial(cells: int, profile: Profile, assumed: Assumptions) -> float:
    each = (profile.warmup_s + profile.min_duration_s) * assumed.slower + assumed.cell_s
    return assumed.start_s + assumed.import_load_s + assumed.probe_s + cells * each


def _worst(cells: int, profile: Profile, assumed: Assumptions) -> float:
    overhead = assumed.start_s + assumed.import_load_s + assumed.probe_s
    return min(profile.trial_timeout_s, overhead + cells * (profile.warmup_s + profile.max_cell_s))
