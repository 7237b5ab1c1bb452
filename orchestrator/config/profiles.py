"""How long and how often: the profiles `quick`, `standard` and `official` (design §6: ≥ 3, ≥ 5, ≥ 20 trials)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from orchestrator.model import Profile

QUICK = Profile(
    name="quick", trials=5, min_duration_s=0.35, min_iterations=3, max_iterations=20_000, warmup_s=0.1, max_cell_s=20.0,
    trial_timeout_s=180.0, max_retries=1,
)
STANDARD = Profile(
    name="standard", trials=7, min_duration_s=3.0, min_iterations=10, max_iterations=200_000, warmup_s=1.0,
    max_cell_s=120.0, trial_timeout_s=900.0, max_retries=2,
)
OFFICIAL = Profile(
    name="official", trials=20, min_duration_s=60.0, min_iterations=64, max_iterations=5_000_000, warmup_s=5.0,
    max_cell_s=900.0, trial_timeout_s=7200.0, max_retries=3,
)

PROFILES: Mapping[str, Profile] = MappingProxyType({p.name: p for p in (QUICK, STANDARD, OFFICIAL)})
MIN_TRIALS: Mapping[str, int] = MappingProxyType({"quick": 3, "standard": 5, "official": 20})
MIN_ENOUGH: Mapping[str, int] = MappingProxyType({**MIN_TRIALS, "quick": 2})  # one trial has no interval
