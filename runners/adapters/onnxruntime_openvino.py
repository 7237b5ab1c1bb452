"""ONNX Runtime with the OpenVINO execution provider: OpenVINO gets what it can of a graph, ONNX Runtime keeps the rest.

What ONNX Runtime's own CPU provider computes would be another backend's time under this one's name: a fallback.
"""
from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import Any, Dict, List

import numpy as np
import onnxruntime

from .base import CacheUse, Evidence, Params, Unsupported
from .onnxruntime import PROVIDERS, TOO_LARGE, session_options
from .onnxruntime import Adapter as PlainAdapter
from .onnxruntime_census import providers_of

PROVIDER = "OpenVINOExecutionProvider"
PLAIN = PROVIDERS["cpu"]
UNREADABLE = re.compile(r"Exception while Reading network: (.+)")
NO_CACHE = "what the OpenVINO provider keeps on disk is not used here: it does not say whether it took it"


class Adapter(PlainAdapter):
    """The same session with another provider in front."""

    def load(self, path: str, params: Params) -> None:
        """Where OpenVINO cannot be had, ONNX Runtime opens the session on its own CPU provider, and says so on stderr only."""
        if params.precision != "fp32":
            raise Unsupported(f"ONNX Runtime's OpenVINO provider runs fp32 here, not {params.precision}")
        keep = params.keep_cache
        self._threads_before = _threads()
        try:
            super().load(path, replace(params, keep_cache=False))
        except Exception as error:
            found = UNREADABLE.search(" ".join(str(error).split()))
            if found is None:
                raise
            raise Unsupported(f"OpenVINO cannot read the part of the graph that it got: {found.group(1)[-200:]}") from error
        self._cache = CacheUse(kind="none", note=NO_CACHE) if keep else None

    def _provider(self) -> str:
        if self._params.device != "cpu":
            raise Unsupported(f"the OpenVINO provider runs on the CPU here, not on {self._params.device}")
        return PROVIDER

    def _providers(self) -> List[Any]:
        settings = self._params.settings
        # Without the precision the plugin computes in bf16 on processors that have it.
        return [(PROVIDER, {
            "device_type": "CPU", "precision": "FP32", "num_of_threads": str(self._params.threads),
            "num_streams": str(int(settings.get("num_streams") or 1)),
            "disable_dynamic_shapes": "true" if settings.get("disable_dynamic_shapes", False) else "false"})]

    def _fresh_options(self) -> Any:
        options = session_options(replace(self._params, settings={
            "graph_optimization_level": self._params.settings.get("graph_optimization_level", "disable")}))
        # OpenVINO has threads of its own; those of ONNX Runtime would spin beside them.
        options.intra_op_num_threads = 1
        return options

    def evidence(self) -> Evidence:
        """Whether OpenVINO is there at all and, where this version says so, how many nodes it was given."""
        registered, nodes = self._session.get_providers(), self._assigned()
        fallback = None
        if PROVIDER not in registered:
            fallback = f"{PROVIDER} is not available; the session runs on {', '.join(registered)}"
        elif nodes and PROVIDER not in nodes:
            fallback = f"every node went to {', '.join(sorted(nodes))} and none to {PROVIDER}"
        return Evidence(
            device="cpu", executed_on=sorted(nodes) or registered, fallback=fallback, cache=self._cache,
            detail={"registered": registered, "nodes": nodes,
                    "threads_started": max(0, _threads() - self._threads_before)},
        )

    def final_evidence(self) -> Evidence:
        """And who really executed which operators, read from a profile of one inference: it takes a session more."""
        evidence = self.evidence()
        if evidence.fallback is not None:
            return evidence
        events = self._profiled()
        if events is None:
            return replace(evidence, detail={**evidence.detail, "operators": TOO_LARGE})
        found = providers_of(events)
        return replace(evidence, executed_on=sorted(found) or evidence.executed_on, fallback=strayed(found),
                       detail={**evidence.detail, "operators": found})

    def versions(self) -> Dict[str, str]:
        """The distribution that holds both, and numpy."""
        return {"onnxruntime-openvino": onnxruntime.__version__, "numpy": np.__version__}


def strayed(found: Dict[str, Dict[str, int]]) -> Any:
    """A sentence where an operator that computes ran anywhere but in OpenVINO; None where none did."""
    elsewhere = {operator: count for provider, operators in found.items() if provider != PROVIDER
                 for operator, count in operators.items()}
    if not elsewhere:
        return None
    listed = ", ".join(f"{count} × {operator}" for operator, count in sorted(elsewhere.items(), key=lambda item: -item[1])[:5])
    where = ", ".join(sorted(provider for provider in found if provider != PROVIDER))
    return f"OpenVINO did not get everything: {listed} ran on {where}"


def _threads() -> int:
    """Of this process, now."""
    return len(os.listdir("/proc/self/task"))
