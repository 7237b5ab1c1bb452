"""Simulated machines: trees of /proc and /sys as the kernel lays them out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Linux numbering of server firmware: first one thread of every core, socket by socket, then their siblings."""

    sockets: int = 1
    cores: int = 4  # per socket
    threads: int = 1
    nodes: int = 1  # per socket
    cores_per_llc: int | None = None  # None: one last-level cache per socket; 0: the kernel shows no caches
    slow: tuple[int, ...] = ()  # efficiency cores
    allowed: str | None = None
    arm: bool = False
    virtual: bool = False
    model: str = "Intel(R) Xeon(R) Platinum 8480+"
    hostname: str = "node1"
    kernel: str = "6.1.0-18-amd64"
    memory_kb: int = 263_900_000
    governor: str | None = "powersave"
    turbo: bool | None = True

    @property
    def physical(self) -> int:
        return self.sockets * self.cores

    @property
    def count(self) -> int:
        return self.physical * self.threads

    def core_of(self, cpu: int) -> int:
        return cpu % self.physical

    def socket_of(self, cpu: int) -> int:
        return self.core_of(cpu) // self.cores

    def node_of(self, cpu: int) -> int:
        return self.core_of(cpu) // (self.cores // self.nodes)

    def llc_of(self, cpu: int) -> int:
        return self.core_of(cpu) // (self.cores_per_llc or self.cores)


def put(path: Path, text: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def write_machine(root: Path, machine: Machine) -> Path:
    """The tree of `machine` below `root`; returns `root`."""
    cpus, sys_cpu = range(machine.count), root / "sys/devices/system/cpu"
    put(sys_cpu / "online", f"0-{machine.count - 1}")
    for cpu in cpus:
        folder = sys_cpu / f"cpu{cpu}"
        siblings = [other for other in cpus if machine.core_of(other) == machine.core_of(cpu)]
        put(folder / "topology/thread_siblings_list", ",".join(map(str, siblings)))
        put(folder / "topology/physical_package_id", machine.socket_of(cpu))
        if machine.slow:
            put(folder / "cpu_capacity", 512 if cpu in machine.slow else 1024)
        if machine.governor:
            put(folder / "cpufreq/scaling_governor", machine.governor)
        if machine.cores_per_llc != 0:
            sharing = [other for other in cpus if machine.llc_of(other) == machine.llc_of(cpu)]
            for index, (level, kind, size, shared) in enumerate(
                [(1, "Data", "48K", siblings), (2, "Unified", "2048K", siblings), (3, "Unified", "105M", sharing)]
            ):
                cache = folder / f"cache/index{index}"
                put(cache / "level", level)
                put(cache / "type", kind)
                put(cache / "size", size)
                put(cache / "shared_cpu_list", ",".join(map(str, shared)))
    for node in range(machine.sockets * machine.nodes):
        members = [cpu for cpu in cpus if machine.node_of(cpu) == node]
        put(root / f"sys/devices/system/node/node{node}/cpulist", ",".join(map(str, members)))
    if machine.turbo is not None:
        put(sys_cpu / "intel_pstate/no_turbo", 0 if machine.turbo else 1)
    _write_proc(root, machine)
    return root


def _write_proc(root: Path, machine: Machine) -> None:
    if machine.arm:
        block = "processor\t: {}\nBogoMIPS\t: 243.75\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd0c\n"
        put(root / "sys/class/dmi/id/sys_vendor", "QEMU" if machine.virtual else "GIGABYTE")
        put(root / "sys/class/dmi/id/product_name", "KVM Virtual Machine" if machine.virtual else "G242-P32")
    else:
        flags = "fpu vme sse2" + (" hypervisor" if machine.virtual else "")
        block = f"processor\t: {{}}\nvendor_id\t: x\nmodel name\t: {machine.model}\nmicrocode\t: 0x2b\nflags\t\t: {flags}\n"
    put(root / "proc/cpuinfo", "\n".join(block.format(cpu) for cpu in range(machine.count)))
    put(root / "proc/self/status", f"Name:\tx\nCpus_allowed_list:\t{machine.allowed or f'0-{machine.count - 1}'}")
    put(root / "proc/self/cgroup", "0::/user.slice/job")
    memory = f"MemTotal:       {machine.memory_kb} kB\nMemAvailable:   {machine.memory_kb // 2} kB\nSwapTotal: 0 kB"
    put(root / "proc/meminfo", memory)
    put(root / "proc/sys/kernel/hostname", machine.hostname)
    put(root / "proc/sys/kernel/osrelease", machine.kernel)
    put(root / "etc/os-release", 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"')
    put(root / "sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never")


SERVER = Machine(sockets=2, cores=16, threads=2)
CHIPLETS = Machine(cores=16, threads=2, cores_per_llc=4, model="AMD EPYC 7313P 16-Core Processor")
SMALL_VM = Machine(cores=2, virtual=True, model="AMD EPYC", governor=None, turbo=None, memory_kb=24_684_092)
ARM = Machine(cores=8, arm=True, cores_per_llc=1, governor=None, turbo=None)
HYBRID = Machine(cores=8, slow=(4, 5, 6, 7), model="Intel(R) Core(TM) Ultra")
