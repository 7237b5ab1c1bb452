"""All checks in order, and their forms as text and as JSON."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.counting import several
from orchestrator.doctor.check import Check, Probe, Verdict, guarded
from orchestrator.doctor.engine import check_engine, engine_answer
from orchestrator.doctor.gpus import check_gpu_containers, check_gpus
from orchestrator.doctor.imagery import check_base, check_builder
from orchestrator.doctor.limits import check_limits
from orchestrator.doctor.machine import (
    check_clocks,
    check_cpus,
    check_kernel_switches,
    check_load,
    check_memory,
    check_steal,
)
from orchestrator.doctor.noise import check_noise, measure_noise
from orchestrator.doctor.supplies import check_disk, check_pythons, find_pythons, locked_pythons
from orchestrator.hostfacts import HostFacts, choose_cpus, read_host
from orchestrator.images.builders import find_buildkit
from orchestrator.images.cache import cache_dir

_MEMORY_NEEDED_MB = 4096


@dataclass(frozen=True, kw_only=True)
class DoctorOptions:
    """What to look at."""

    images: Path | None = None  # the folder of backends, for the Pythons that its locks are for
    cache: Path | None = None
    threads: int = 2  # of the A/A check
    noise_s: float = 15.0  # how long the A/A check may take; 0 leaves it out
    engine_timeout_s: float = 3.0


def run_doctor(options: DoctorOptions) -> list[Check]:
    """Every check, in the order in which they matter; takes `noise_s` and about 10 s, never raises for a finding."""
    facts, answer = read_host(), engine_answer(timeout_s=options.engine_timeout_s)
    checks = list(check_engine(answer))
    probes: list[tuple[str, float, Probe]] = [
        ("cgroups", 2, partial(check_limits, answer, facts)),
        ("cpus", 2, partial(check_cpus, facts)),
        ("clocks", 2, partial(check_clocks, facts)),
        ("load", 2, partial(check_load, facts)),  # before the checks that make load themselves
        ("steal", 5, check_steal),
        ("memory", 2, partial(check_memory, facts, needed_mb=_MEMORY_NEEDED_MB)),
        ("kernel", 2, partial(check_kernel_switches, facts)),
        ("gpus", 5, partial(check_gpus, facts)),
        ("gpu containers", 5, partial(check_gpu_containers, facts, answer)),
        ("disk", 5, partial(check_disk, options.cache or cache_dir(), answer)),
    ]
    if answer.available:
        probes += [
            ("builder", 25, lambda: check_builder(find_buildkit())),
            ("base image", 12, partial(check_base, answer)),
        ]
    if options.images is not None:
        images = options.images
        probes.append(("pythons", 15, lambda: check_pythons(locked_pythons(images, facts.machine), find_pythons())))
    if options.noise_s > 0:
        probes.append(("noise", options.noise_s + 5, partial(_noise, facts, options)))
    for name, deadline_s, probe in probes:
        checks += guarded(name, probe, deadline_s=deadline_s)
    return checks


def _noise(facts: HostFacts, options: DoctorOptions) -> tuple[Check, ...]:
    cpus = choose_cpus(facts, min(options.threads, len(facts.usable_cpus)))
    noise = measure_noise(cpus, seconds=options.noise_s)
    load = f"{os.getloadavg()[0]:.1f} on {several(len(facts.usable_cpus), 'CPU')}"
    return check_noise(noise, seconds=options.noise_s, load=load)


def exit_code(checks: Sequence[Check]) -> int:
    """1 where any check is bad, else 0."""
    return int(any(check.verdict is Verdict.BAD for check in checks))


def to_text(checks: Sequence[Check], *, width: int = 120) -> str:
    """One line a check with its verdict, and below it what to do."""
    names = max((len(check.name) for check in checks), default=0)
    indent = " " * (8 + names)
    lines = []
    for check in checks:
        head = f"{check.verdict.value:4}  {check.name:{names}}  "
        lines += textwrap.wrap(check.found, width, initial_indent=head, subsequent_indent=indent,
                               break_on_hyphens=False) or [head]
        if check.do:
            lines += textwrap.wrap(f"→ {check.do}", width, initial_indent=indent, subsequent_indent=indent + "  ")
    return "\n".join(lines)


def to_json(checks: Sequence[Check]) -> dict[str, Any]:
    """`{"schema", "exit_code", "checks": [{name, verdict, found, do}]}`."""
    rows = [{"name": c.name, "verdict": c.verdict.value, "found": c.found, "do": c.do} for c in checks]
    return {"schema": "infermatrix.doctor/1", "exit_code": exit_code(checks), "checks": rows}
