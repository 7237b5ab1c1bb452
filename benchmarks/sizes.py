"""What every environment takes on a disk, from those that runs on this machine installed: written to results/sizes.json."""

from __future__ import annotations

import argparse
import json
from datetime import datetime, timezone
from pathlib import Path

from orchestrator.backends import load_registry
from orchestrator.environments import envs_of, models_env
from orchestrator.facts.sizes import FILE, document, load, measure
from orchestrator.images.cache import cache_dir

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Adds what is in the cache to what the file has of locks that still stand."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    images, results = ROOT / "images", ROOT / "results"
    envs = [models_env(images), *(env for spec in load_registry(images).values() for env in envs_of(spec).values())]
    measured = measure(envs, cache_dir())
    names = {env.name for env in envs}
    kept = {name: size for name, size in load(results).items() if name in names}
    sizes = {**kept, **measured}
    today = datetime.now(timezone.utc).date()
    text = json.dumps(document(sizes, command="python -m benchmarks.sizes", day=today), indent=1)
    (results / FILE).write_text(text + "\n")
    for name, size in sorted(sizes.items()):
        print(f"{name:32} {size.installed_mb:8.1f} MB{'' if name in measured else '  (as published)'}")
    for name in sorted(names - sizes.keys()):
        print(f"{name:32}  not installed on this machine")


if __name__ == "__main__":
    main()
