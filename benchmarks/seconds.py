"""What loads take beside their timed loops, from the records of a run: written to results/seconds.json, which `plan` reads.

    python -m benchmarks.seconds RUN_DIRECTORY
"""

from __future__ import annotations

import argparse
import json
from datetime import datetime, timezone
from pathlib import Path

from orchestrator.facts.seconds import FILE, document, load_seconds, measure
from orchestrator.hostfacts import read_host
from orchestrator.records import RecordStore

RESULTS = Path(__file__).resolve().parents[1] / "results"


def main() -> None:
    """Adds what the run has to what the file has of other loads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN_DIRECTORY")
    run = parser.parse_args().run
    measured = measure(RecordStore(run / "records").read_all())
    known = {**load_seconds(RESULTS).loads, **measured}
    host = read_host()
    whole = document(known, command="python -m benchmarks.seconds RUN_DIRECTORY", day=datetime.now(timezone.utc).date(),
                     machine=f"{host.cpu_model}, {len(host.usable_cpus)} CPUs")
    lines = ",\n".join(f"  {json.dumps(row)}" for row in whole.pop("loads"))
    head = json.dumps(whole, indent=1)[:-2]
    (RESULTS / FILE).write_text(f'{head},\n "loads": [\n{lines}\n ]\n}}\n')
    once_s = sum(took.overhead_s for took in known.values())
    print(f"{len(measured)} loads measured, {len(known)} known: {once_s:.0f} s once each")


if __name__ == "__main__":
    main()
