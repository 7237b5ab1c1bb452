"""zentorch: PyTorch's adapter in mode compile, with AMD's backend in place of inductor's plain one."""
from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Optional

import numpy as np
import torch
import zentorch

from .base import Evidence, Feeds, Params, Unsupported
from .torch import Adapter as TorchAdapter

VENDOR = "AuthenticAMD"


class Adapter(TorchAdapter):
    """All but the compiler is PyTorch's."""

    def load(self, path: str, params: Params) -> None:
        """As PyTorch does; refuses other makers' processors, which zentorch is not made for."""
        if params.precision not in ("fp32", "bf16"):
            raise Unsupported(f"zentorch has no {params.precision} here")
        vendor = _vendor()
        if vendor != VENDOR:
            raise Unsupported(f"zentorch is for AMD's processors, and this one says {vendor}")
        super().load(path, replace(params, settings={**params.settings, "mode": "compile", "gradients": "no_grad"}))
        self._example: Optional[Feeds] = None

    def compile(self, example: Feeds) -> bool:
        """The first call compiles."""
        self._example = example
        return super().compile(example)

    def _compiled(self) -> Any:
        return torch.compile(self._module, dynamic=False, backend="zentorch")

    def final_evidence(self) -> Evidence:
        """Which of one inference's operators are zentorch's own, by PyTorch's profiler; inductor and oneDNN run the rest."""
        found = super().final_evidence()
        assert self._example is not None
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            self.predict(self._example)
        counts = {event.key: event.count for event in profile.key_averages() if event.key.startswith("zentorch::")}
        fallback = found.fallback or (None if counts else "no executed operator is zentorch's; inductor ran all of them")
        return replace(found, executed_on=["zentorch", "PyTorch (inductor)"], fallback=fallback,
                       detail={**found.detail, "zentorch_operators": counts})

    def versions(self) -> Dict[str, str]:
        """zentorch, torch and numpy."""
        return {"zentorch": zentorch.__version__, "torch": torch.__version__, "numpy": np.__version__}


def _vendor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("vendor_id"):
                return line.split(":", 1)[1].strip()
    return "nothing of its maker"
