"""`doctor` and `clean`: the machine, and what was left on it."""

from __future__ import annotations

import argparse
import json
import shutil

from orchestrator.cli.common import IMAGES, Commands, add
from orchestrator.cli.console import Console
from orchestrator.counting import several
from orchestrator.doctor.engine import engine_answer, engine_endpoint, open_client
from orchestrator.doctor.run import DoctorOptions, exit_code, run_doctor, to_json, to_text
from orchestrator.images.cache import cache_dir
from orchestrator.images.prune import owned_images, remove_images
from orchestrator.isolation.keeping import remove_kept
from orchestrator.isolation.reap import reap


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    doctor = add(
        commands, "doctor", _doctor, "What this machine can and cannot measure, and what to do about it.",
        "infermatrix doctor --no-noise",
    )
    doctor.add_argument("--no-noise", action="store_true", help="leave out the A/A check of this machine's noise (20 s)")
    doctor.add_argument("--json", action="store_true", help="as JSON")
    clean = add(
        commands, "clean", _clean, "Remove what dead runs left on the engine; nobody else's containers, ever.",
        "infermatrix clean --images",
    )
    clean.add_argument("--images", action="store_true", help="also the images that this program built")
    clean.add_argument("--cache", action="store_true", help="also the cache: wheels, virtual environments, models, conversions")


def _doctor(options: argparse.Namespace) -> int:
    checks = run_doctor(DoctorOptions(images=IMAGES, noise_s=0.0 if options.no_noise else DoctorOptions.noise_s))
    print(json.dumps(to_json(checks), indent=1) if options.json else to_text(checks))
    return exit_code(checks)


def _clean(options: argparse.Namespace) -> int:
    console = Console()
    answer = engine_answer()
    if answer.available:
        client = open_client(engine_endpoint(), timeout_s=60)
        removed = reap(client)
        for name in (*removed.containers, *removed.volumes):
            print(f"removed {name}")
        if not removed:
            print("nothing was left on the engine")
        if options.images:
            print(f"removed {several(len(remove_images(client, owned_images(client))), 'image')}")
    else:
        console.say(f"no engine to clean: {answer.reason}")
    if options.cache:
        if answer.available:
            print(f"removed {several(len(remove_kept(client)), 'volume')} of what was compiled")
        shutil.rmtree(cache_dir(), ignore_errors=True)
        print(f"removed {cache_dir()}")
    return 0
