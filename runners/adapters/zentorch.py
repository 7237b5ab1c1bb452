"""zentorch: PyTorch's adapter in mode compile or aot, with AMD's backend in place of inductor's plain one."""
from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import replace
from typing import Any, Dict, Optional

import numpy as np
import torch
import zentorch

from .base import Evidence, Feeds, Params, Unsupported
from .torch import Adapter as TorchAdapter

VENDOR = "AuthenticAMD"
SHIM = re.compile(r"\baoti_torch_cpu_(zentorch_\w+)\(")  # how a library's source calls one of zentorch's operators


class Adapter(TorchAdapter):
    """All but the compiler is PyTorch's."""

    MODES = ("compile", "aot")

    def load(self, path: str, params: Params) -> None:
        """As PyTorch does; refuses other makers' processors, which zentorch is not made for."""
        if params.precision not in ("fp32", "bf16"):
            raise Unsupported(f"zentorch has no {params.precision} here")
        vendor = _vendor()
        if vendor != VENDOR:
            raise Unsupported(f"zentorch is for AMD's processors, and this one says {vendor}")
        super().load(path, replace(params, settings={**params.settings, "gradients": "no_grad"}))
        self._example: Optional[Feeds] = None

    def compile(self, example: Feeds) -> bool:
        """The first call compiles."""
        self._example = example
        return super().compile(example)

    def _compiled(self) -> Any:
        return torch.compile(self._module, dynamic=False, backend="zentorch")

    def _ahead_configs(self) -> Dict[str, Any]:
        """zentorch's pass for programs that are compiled ahead; it has fewer fusions than that of torch.compile."""
        return {"joint_custom_post_pass": zentorch.export_optimize_pass}

    def final_evidence(self) -> Evidence:
        """Which operators are zentorch's own, of the first batch size; inductor and oneDNN run the rest."""
        found = super().final_evidence()
        runs = [self._executed()] if self._ahead is None else [_called(library) for library in self._ahead.libraries]
        fallback = found.fallback or (None if all(runs) else "no executed operator is zentorch's; inductor ran all of them")
        return replace(found, executed_on=["zentorch", "PyTorch (inductor)"], fallback=fallback,
                       detail={**found.detail, "zentorch_operators": runs[0] if runs else {}})

    def _executed(self) -> Dict[str, int]:
        """Of one inference, by PyTorch's profiler."""
        assert self._example is not None
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            self.predict(self._example)
        return {event.key: event.count for event in profile.key_averages() if event.key.startswith("zentorch::")}

    def versions(self) -> Dict[str, str]:
        """zentorch, torch and numpy."""
        return {"zentorch": zentorch.__version__, "torch": torch.__version__, "numpy": np.__version__}


def _called(library: str) -> Dict[str, int]:
    """Calls of zentorch's operators in the source that lies beside a library: PyTorch's profiler does not see them there."""
    source = library[:-len(".so")] + ".cpp"
    if not os.path.exists(source):
        return {}
    with open(source, encoding="utf-8", errors="replace") as file:
        return dict(Counter(f"zentorch::{name}" for name in SHIM.findall(file.read())))


def _vendor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("vendor_id"):
                return line.split(":", 1)[1].strip()
    return "nothing of its maker"
