"""RAPL energy counters of processor packages and their memory, below /sys/class/powercap.

Summed are the packages and their `dram` domains. `core` and `uncore` are parts of a package, `psys` holds it, and
`intel-rapl-mmio` shows the same package a second time. Sources: the kernel's Documentation/power/powercap/powercap.rst;
Khan et al., "RAPL in Action", TOMPECS 2018 (updates of about 1 ms); readable by root only since CVE-2020-8694.
"""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.meters.series import AbsentError
from orchestrator.meters.sources import EnergySource, SourceKind

POWERCAP = Path("sys/class/powercap")
METER = "RAPL"
_PACKAGE = re.compile(r"intel-rapl:\d+")
NONE_HERE = "no RAPL here: /sys/class/powercap shows no intel-rapl domain"
READABLE = "sudo chmod -R a+r /sys/class/powercap/intel-rapl:*/ (until the next boot), or run as root"


def find_rapl(root: Path = Path("/")) -> tuple[tuple[EnergySource, ...], str | None]:
    """All package and memory counters that can be read, or () and the reason."""
    folder = root / POWERCAP
    packages = [path for path in sorted(folder.glob("intel-rapl:*")) if _PACKAGE.fullmatch(path.name)]
    found = []
    try:
        for package in packages:
            name = (package / "name").read_text().strip()
            if not name.startswith("package"):
                continue
            found.append(_source(package, name))
            for part in sorted(package.glob(f"{package.name}:*")):
                if (part / "name").read_text().strip() == "dram":
                    found.append(_source(part, f"{name}-dram"))
    except PermissionError:
        return (), f"RAPL is there, but only root may read it: {READABLE}"
    except (OSError, ValueError) as error:
        return (), f"RAPL cannot be read: {error}"
    return tuple(found), None if found else NONE_HERE


def _source(domain: Path, name: str) -> EnergySource:
    counter = domain / "energy_uj"

    def read() -> float:
        try:
            return int(counter.read_text()) / 1e6
        except (OSError, ValueError) as error:
            raise AbsentError(f"{name}: its RAPL counter cannot be read: {error}") from None

    int(counter.read_text())  # a counter that this user may not read is found out now
    # One past the largest value, so that the step from it to 0 counts as one.
    modulus = (int((domain / "max_energy_range_uj").read_text()) + 1) / 1e6
    return EnergySource(name=name, kind=SourceKind.CPU, meter=METER, read=read, modulus_j=modulus)
