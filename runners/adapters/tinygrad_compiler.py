"""What tinygrad reaches outside for: the compiler of its kernels, and the model's file."""
from __future__ import annotations

import importlib.util
import mmap
import os
import re
import subprocess
from collections import Counter
from typing import Any, List, Sequence

FLOATS = re.compile(rb"\b(float|double|__fp16|__bf16)\d*\b")


def clang_command() -> List[str]:
    """clang as the wheel ziglang holds it: a command of its program.

    Raises:
        RuntimeError: the wheel is not installed.
    """
    spec = importlib.util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise RuntimeError("the distribution ziglang, whose clang compiles tinygrad's kernels, is not installed")
    return [os.path.join(os.path.dirname(spec.origin), "zig"), "clang"]


class Clang:
    """Stands in for the module `subprocess` in tinygrad's compiler: its variable CC takes one word, and this clang is two.

    tinygrad's own arguments are passed on as they are; what is compiled is counted.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self.compiled = 0  # kernels, tinygrad's own helpers among them
        self.types: Counter[str] = Counter()  # kernels in whose source a floating-point type occurs

    def check_output(self, command: Sequence[str], **more: Any) -> bytes:
        """As tinygrad calls it: the source comes as `input`, the object file is returned."""
        self.compiled += 1
        self.types.update({name.decode() for name in FLOATS.findall(more.get("input") or b"")})
        found: bytes = subprocess.check_output([*self._command, *command[1:]], **more)
        return found

    def version(self) -> str:
        """The first line of what the compiler says of itself."""
        said = subprocess.run([*self._command, "--version"], capture_output=True, text=True, check=False).stdout
        return (said.splitlines() or ["unknown"])[0].strip()


def open_read_only(disk: Any) -> None:
    """tinygrad opens every file for writing, which a model's need not, and in a container must not, allow."""

    def opened(device: Any, size: int) -> None:
        if device.size is None or not hasattr(device, "mem"):
            with open(device.device[len("disk:"):], "rb") as file:
                device.mem = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            device.size = size
        device.refcount += 1

    disk._might_open = opened
