"""The lock file: which wheel (or source distribution) of which version, by SHA-256 (pip's requirements format). Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from orchestrator.errors import BuildError

_NAME = re.compile(r"lock-cp(\d)(\d+)-(\w+)\.txt")
_PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>\S+)(?P<hashes>(?:\s+--hash=sha256:[0-9a-f]{64})+)"
                  r"(?P<sdist>\s+# sdist)?")
_MARK = re.compile(r"#\s*(?P<word>no-deps|sdist)\s*$")
_EXACT = re.compile(r"==[^*,]+")
BUILDER = "pip"  # what must be in a lock that holds source distributions: it builds them, inside the environment


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One distribution at one version, and the wheels that are accepted for it."""

    name: str  # canonical
    version: str
    sha256: tuple[str, ...]
    sdist: bool = False  # no wheel, but a source distribution, which is built inside the environment


@dataclass(frozen=True, kw_only=True)
class Lock:
    """A whole environment for one Python on one machine."""

    python: str  # "3.11"
    machine: str  # "x86_64"
    requirements: str  # digest of the requirements it was resolved from
    pins: tuple[Pin, ...]  # sorted by name
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 over the pins alone: a reworded header changes nothing."""
        pins = [(p.name, p.version, p.sha256, *(("sdist",) if p.sdist else ())) for p in self.pins]
        return hashlib.sha256(repr(pins).encode()).hexdigest()

    @property
    def sdists_text(self) -> str:
        """The requirements that are built from source, once all others are installed; empty where there are none."""
        return "".join(f"{_spelt(pin)}\n" for pin in self.pins if pin.sdist)

    @property
    def wheels_text(self) -> str:
        """The requirements that are wheels: the whole file where it holds nothing else."""
        return "".join(f"{_spelt(pin)}\n" for pin in self.pins if not pin.sdist) if self.sdists_text else self.text

    def version_of(self, distribution: str) -> str | None:
        """The locked version, or None where the lock does not hold it."""
        wanted = canonicalize_name(distribution)
        return next((p.version for p in self.pins if p.name == wanted), None)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One line of requirements.in."""

    requirement: str
    with_deps: bool
    sdist: bool = False


def lock_name(python: str, machine: str) -> str:
    """`lock-cp311-x86_64.txt` for ("3.11", "x86_64")."""
    return f"lock-cp{python.replace('.', '')}-{machine}.txt"


def parse_lock_name(name: str) -> tuple[str, str] | None:
    """("3.11", "x86_64"), or None where the file is no lock."""
    match = _NAME.fullmatch(name)
    return (f"{match[1]}.{match[2]}", match[3]) if match else None


def parse_requirements(text: str, *, origin: str) -> tuple[Wanted, ...]:
    """The lines of a requirements.in; a trailing `# no-deps` keeps a package's own requirements out.

    `# sdist` takes a package that has no wheel as source. What it requires is not asked, because only its own code could
    say so: its requirements are lines of their own. Raises BuildError for a line that is no requirement.
    """
    wanted = []
    for number, line in enumerate(text.splitlines(), start=1):
        requirement = line.split("#", 1)[0].strip()
        if not requirement:
            continue
        try:
            parsed = Requirement(requirement)
        except InvalidRequirement as error:
            raise BuildError(
                f"{origin}, line {number}: {requirement!r} is not a requirement ({str(error).splitlines()[0]})",
                hint="One `name==version` a line; `# no-deps` behind it leaves out what the package itself asks for.",
            ) from error
        mark = _MARK.search(line)
        sdist = mark is not None and mark["word"] == "sdist"
        if sdist and not _EXACT.fullmatch(str(parsed.specifier)):
            raise BuildError(f"{origin}, line {number}: {requirement!r} is to be built from source and names no exact version",
                             hint="A line marked `# sdist` must be `name==version`.")
        wanted.append(Wanted(requirement=requirement, with_deps=mark is None, sdist=sdist))
    return tuple(wanted)


def with_version(wanted: tuple[Wanted, ...], *, distribution: str, version: str) -> tuple[Wanted, ...]:
    """The same requirements with one distribution at another version.

    A local part of the old pin ("+cpu") stays unless the new version names its own: it says which build, not which release.
    Raises BuildError where the distribution is not among them.
    """
    changed = []
    found = False
    for want in wanted:
        requirement = Requirement(want.requirement)
        if canonicalize_name(requirement.name) == canonicalize_name(distribution):
            found = True
            local = re.search(r"\+[a-z0-9.]+$", str(requirement.specifier))
            pinned = version if "+" in version or local is None else version + local[0]
            extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
            changed.append(replace(want, requirement=f"{requirement.name}{extras}=={pinned}"))
        else:
            changed.append(want)
    if not found:
        raise BuildError(
            f"version {version} was asked for, but {distribution} is not among the requirements",
            hint="`distribution` in backend.yaml must be a line of requirements.in.",
        )
    return tuple(changed)


def requirements_digest(wanted: Iterable[Wanted]) -> str:
    """SHA-256 of what is asked for; comments, blank lines and order do not matter."""
    lines = sorted(f"{w.requirement}{'  # sdist' if w.sdist else '' if w.with_deps else '  # no-deps'}" for w in wanted)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def format_lock(*, env_name: str, python: str, machine: str, requirements: str, pins: Iterable[Pin]) -> str:
    """The text of a lock file."""
    lines = [
        f"# What {env_name} installs on Python {python}, {machine}: made by pip, not by hand.",
        f"# requirements: sha256:{requirements}",
        f"# again: infermatrix lock {env_name} --python {python}",
    ]
    for pin in sorted(pins, key=lambda p: p.name):
        lines.append(_spelt(pin) + ("  # sdist" if pin.sdist else ""))
    return "\n".join(lines) + "\n"


def parse_lock(text: str, *, name: str) -> Lock:
    """Reads a lock file; `name` is its file name. Raises BuildError for anything but pinned, hashed lines."""
    target = parse_lock_name(name)
    if target is None:
        raise BuildError(f"{name} is not the name of a lock file", hint="It must look like lock-cp311-x86_64.txt.")
    header = re.search(r"^# requirements: sha256:([0-9a-f]{64})$", text, re.MULTILINE)
    pins = []
    body = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    for line in filter(None, (line.strip() for line in body.splitlines())):
        match = _PIN.fullmatch(line)
        if match is None:
            raise BuildError(
                f"{name}: {line[:60]!r} is not pinned to a version and a SHA-256",
                hint="Make the lock again; every line needs ==version and --hash=sha256:….",
            )
        hashes = tuple(re.findall(r"sha256:([0-9a-f]{64})", match["hashes"]))
        pins.append(Pin(name=canonicalize_name(match["name"]), version=match["version"], sha256=hashes,
                        sdist=match["sdist"] is not None))
    if not pins:
        raise BuildError(f"{name} holds no package", hint="Make the lock again.")
    return Lock(python=target[0], machine=target[1], requirements=header[1] if header else "",
                pins=tuple(sorted(pins, key=lambda p: p.name)), text=text)


def _spelt(pin: Pin) -> str:
    return " \\\n".join([f"{pin.name}=={pin.version}", *(f"    --hash=sha256:{h}" for h in pin.sha256)])
