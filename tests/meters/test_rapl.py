from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.meters.rapl import NONE_HERE, POWERCAP, find_rapl
from orchestrator.meters.series import AbsentError
from orchestrator.meters.sources import SourceKind


def domain(folder: Path, name: str, microjoules: int = 0, wrap: int = 262143328850) -> Path:
    """As the kernel's intel_rapl_msr driver lays a domain out."""
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{wrap}\n")
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """Two packages; what is part of a package, or holds it, or shows it again, must not be counted twice."""
    cap = tmp_path / POWERCAP
    for number in (0, 1):
        package = domain(cap / f"intel-rapl:{number}", f"package-{number}", 5_000_000 + number)
        domain(package / f"intel-rapl:{number}:0", "core", 7)
        domain(package / f"intel-rapl:{number}:1", "dram", 2_000_000)
        (cap / f"intel-rapl:{number}:0").symlink_to(package / f"intel-rapl:{number}:0")  # flat links, as in sysfs
    domain(cap / "intel-rapl:2", "psys", 9)
    domain(cap / "intel-rapl-mmio:0", "package-0", 5_000_000)
    (cap / "intel-rapl").mkdir()
    return tmp_path


def test_packages_and_their_memory_are_counted_once(server: Path) -> None:
    found, why = find_rapl(server)
    assert why is None
    assert [one.name for one in found] == ["package-0", "package-0-dram", "package-1", "package-1-dram"]
    assert {one.kind for one in found} == {SourceKind.CPU}
    assert [one.read() for one in found] == [5.0, 2.0, 5.000001, 2.0]
    assert found[0].modulus_j == pytest.approx(262143.328851)


def test_a_machine_without_rapl_says_so(tmp_path: Path) -> None:
    assert find_rapl(tmp_path) == ((), NONE_HERE)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_counter_of_root_s_is_no_counter_and_the_reason_says_what_to_do(server: Path) -> None:
    (server / POWERCAP / "intel-rapl:1" / "energy_uj").chmod(0)
    found, why = find_rapl(server)
    assert found == ()
    assert why is not None
    assert "chmod" in why


def test_a_counter_that_goes_away_is_absent(server: Path) -> None:
    found, _ = find_rapl(server)
    (server / POWERCAP / "intel-rapl:0" / "energy_uj").unlink()
    with pytest.raises(AbsentError, match="package-0"):
        found[0].read()


def test_nonsense_in_a_counter_is_a_reason(server: Path) -> None:
    (server / POWERCAP / "intel-rapl:0" / "energy_uj").write_text("many\n")
    found, why = find_rapl(server)
    assert found == ()
    assert why is not None
    assert "cannot be read" in why
