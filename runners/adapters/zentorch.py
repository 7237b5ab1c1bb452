"""zentorch: PyTorch's adapter in mode compile or aot, with AMD's backend in place of inductor's plain one."""
from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import replace
from typing import Any, Dict, List, Optional, Pattern
from typing import Counter as Counts

import numpy as np
import torch
import zentorch

from .base import Evidence, Feeds, Params, Unsupported
from .torch import Adapter as TorchAdapter

VENDOR = "AuthenticAMD"
SHIM = re.compile(r"\baoti_torch_cpu_(zentorch_\w+)\(")  # how a library's source calls one of zentorch's operators
CALL = re.compile(r"\btorch\.ops\.zentorch\.(zentorch_\w+)[.\w]*\(")  # and how the code does that inductor wrote for a graph
NONE_OWN = "no executed operator is zentorch's; inductor ran all of them"


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

    def evidence(self) -> Evidence:
        """Which operators are zentorch's own in the code that runs; inductor and oneDNN run the rest."""
        if self._ahead is not None:
            return self._own([_called(library) for library in self._ahead.libraries])
        return self._own([self._written()])

    def final_evidence(self) -> Evidence:
        """The same of what was executed, of the first batch size."""
        return self.evidence() if self._ahead is not None else self._own([self._executed()])

    def _own(self, runs: List[Dict[str, int]]) -> Evidence:
        found = super().evidence()
        fallback = found.fallback or (None if all(runs) else NONE_OWN)
        return replace(found, executed_on=["zentorch", "PyTorch (inductor)"], fallback=fallback,
                       detail={**found.detail, "zentorch_operators": runs[0] if runs else {}})

    def _written(self) -> Dict[str, int]:
        """Calls in the code that inductor wrote for this model: it lies below the cache folder that the model has to itself."""
        from torch._inductor.codecache import PyCodeCache

        folder = os.path.realpath(self._params.cache_dir)
        files = {os.path.realpath(module.__file__ or "") for module in PyCodeCache.modules}
        return dict(sum((_calls(CALL, file) for file in files if file.startswith(folder + os.sep)), Counter()))

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
    return dict(_calls(SHIM, source)) if os.path.exists(source) else {}


def _calls(pattern: Pattern[str], file: str) -> Counts[str]:
    with open(file, encoding="utf-8", errors="replace") as source:
        return Counter(f"zentorch::{name}" for name in pattern.findall(source.read()))


def _vendor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("vendor_id"):
                return line.split(":", 1)[1].strip()
    return "nothing of its maker"
