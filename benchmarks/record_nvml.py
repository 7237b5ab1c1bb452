"""Writes down what NVML answers on this machine, for the tests to replay where there is no GPU.

    python -m benchmarks.record_nvml --out tests/fixtures/nvml/a100.json --seconds 10

Start a load on the GPU about half-way (any will do), so that the file holds an idle and a busy stretch. UUIDs and process numbers
are kept as they are: look before you publish. Without a GPU nothing is written, and the reason is said.
"""

from __future__ import annotations

import argparse
import platform
import time
from pathlib import Path

from orchestrator.gpus import nvml_library, read_gpus
from orchestrator.meters.nvml import NvmlGpu
from orchestrator.meters.recording import Recorder
from orchestrator.meters.series import AbsentError

ENERGY_S, SNAPSHOT_S = 0.02, 0.5


def main() -> int:
    """Record; 0 also where there is nothing to record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("nvml.json"))
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    library, why = nvml_library()
    gpus, reason = read_gpus() if library is not None else ((), why)
    if not gpus:
        print(f"nothing recorded: {reason}")
        return 0
    recorder = Recorder(library)
    read_gpus(library=recorder)  # it ends with nvmlShutdown, hence the second nvmlInit
    recorder.nvmlInit()
    board = NvmlGpu(recorder, gpus[0].uuid)
    try:
        energy = board.energy_source().read
    except AbsentError as error:
        print(f"no energy counter: {error}")
        energy = None
    end, next_snapshot = time.monotonic() + options.seconds, 0.0
    while (now := time.monotonic()) < end:
        if now >= next_snapshot:
            board.snapshot(time.monotonic_ns())
            next_snapshot = now + SNAPSHOT_S
        if energy is not None:
            energy()
        time.sleep(ENERGY_S)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    recorder.save(options.out, gpu=gpus[0].name, driver=gpus[0].driver, kernel=platform.release())
    print(f"{len(recorder.answers)} answers of {gpus[0].name} in {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
