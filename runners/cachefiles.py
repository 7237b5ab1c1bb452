"""What a backend left in its cache directory, and whether another process changed it."""

import contextlib
import os
from typing import Dict, NamedTuple, Tuple

Files = Dict[str, Tuple[int, int, int]]


class Change(NamedTuple):
    """The difference between two looks."""

    added: int
    changed: int  # of the earlier files: written to, replaced or gone


def look(folder: str) -> Files:
    """Relative path → (bytes, time of change in ns, inode). Empty files are locks and markers, and left out."""
    found: Files = {}
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            with contextlib.suppress(OSError):
                about = os.stat(path)
                if about.st_size:
                    found[os.path.relpath(path, folder)] = (about.st_size, about.st_mtime_ns, about.st_ino)
    return found


def compare(before: Files, after: Files) -> Change:
    """What happened between `before` and `after`."""
    return Change(added=len(after.keys() - before.keys()),
                  changed=sum(1 for name, about in before.items() if after.get(name) != about))


def megabytes(files: Files) -> float:
    """Of all of them together."""
    return sum(about[0] for about in files.values()) / 2 ** 20
