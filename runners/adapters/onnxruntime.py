"""ONNX Runtime: reads the model's own ONNX file, or one with fewer bits that its own tools made of it."""
from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
import onnxruntime

from .base import Adapter as BaseAdapter
from .base import CacheUse, ConvertParams, Evidence, Feeds, Params, Unsupported
from .onnxruntime_census import counted, profile

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
LEVELS = {
    "disable": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
PRECISIONS = ("fp32", "fp16", "int8")
MAX_CENSUS_BYTES = 1 << 30  # a second session for the profile; with larger models it could be what exceeds the memory
TOO_LARGE = "not asked: the model is too large to be loaded twice"
# Records which provider each node was given to; get_providers() only says which were registered.
RECORD_ASSIGNMENT = "session.record_ep_graph_assignment_info"
OPTIMISED = "optimised.onnx"
SPINNING = ("session.intra_op.allow_spinning", "session.inter_op.allow_spinning")
DYNAMIC_BLOCK_BASE = "session.dynamic_block_base"
DENORMALS = "session.set_denormal_as_zero"


class Adapter(BaseAdapter):
    """One `InferenceSession`."""

    PRECISIONS: Sequence[str] = PRECISIONS

    def load(self, path: str, params: Params) -> None:
        """By path, never from bytes: external data and files over 2 GB need it."""
        if params.precision not in self.PRECISIONS:
            raise Unsupported(f"ONNX Runtime has no {params.precision} here")
        self._path, self._params = path, params
        self._wanted = self._provider()
        self._options = self._fresh_options()
        self._cache: Optional[CacheUse] = None
        try:
            self._session = self._cached(path, params) if params.keep_cache else self._open(path)
        except Exception as error:
            raise explained(error) from error
        kinds = {tensor.name: tensor.type for tensor in (*self._session.get_inputs(), *self._session.get_outputs())}
        for name, kind in kinds.items():
            if not kind.startswith("tensor(") or kind == "tensor(string)":
                raise Unsupported(f"{name} is a {kind}; only tensors of numbers can be measured")
        self._names = list(params.output_order)
        self._run = self._session.run

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """Fresh arrays on every call."""
        return self._run(self._names, inputs)  # type: ignore[no-any-return]

    def evidence(self) -> Evidence:
        """Which provider the session gave each node to."""
        registered = self._session.get_providers()
        nodes = self._assigned()
        executed_on = sorted(nodes) or registered
        fallback = None
        if self._wanted not in registered:
            fallback = f"{self._wanted} is not available; the session runs on {', '.join(registered)}"
        elif nodes and self._wanted not in nodes:
            fallback = f"every node went to {', '.join(executed_on)} and none to {self._wanted}"
        return Evidence(
            device="cpu" if executed_on == [PROVIDERS["cpu"]] else "cuda", executed_on=executed_on, fallback=fallback,
            detail={"registered": registered, "nodes": nodes, **applied(self._session.get_session_options())},
            cache=self._cache,
        )

    def final_evidence(self) -> Evidence:
        """And, where fewer bits were asked for, what really computed in them: it takes a session more."""
        evidence = self.evidence()
        if self._params.precision == "fp32" or evidence.fallback is not None:
            return evidence
        detail = dict(evidence.detail)
        return replace(evidence, fallback=self._narrowed(detail), detail=detail)

    def versions(self) -> Dict[str, str]:
        """onnxruntime and numpy."""
        return {"onnxruntime": onnxruntime.__version__, "numpy": np.__version__}

    def _provider(self) -> str:
        """The name of the provider that has to get the nodes."""
        device = self._params.device
        if device.split(":")[0] not in PROVIDERS:
            raise Unsupported(f"ONNX Runtime has no provider for {device} here")
        return PROVIDERS[device.split(":")[0]]

    def _providers(self) -> List[Any]:
        """What a session is opened with."""
        return [self._wanted]

    def _fresh_options(self) -> Any:
        """Options of a session of its own: they may be used once only, as a session may change them."""
        return session_options(self._params)

    def _open(self, path: str) -> Any:
        return onnxruntime.InferenceSession(path, self._options, providers=self._providers())

    def _cached(self, path: str, params: Params) -> Any:
        """ONNX Runtime's "offline" mode: the optimised graph as a file, which the next process loads as it is."""
        kept = os.path.join(str(params.cache_dir), OPTIMISED)
        found = os.path.isfile(kept)
        if found:
            self._options.graph_optimization_level = LEVELS["disable"]
            session = self._open(kept)
        else:
            self._options.optimized_model_filepath = kept + ".part"
            session = self._open(path)
            os.replace(kept + ".part", kept)
        self._cache = CacheUse(kind="optimised graph", hit=found, detail={"loaded": os.path.basename(kept if found else path)})
        return session

    def _narrowed(self, detail: Dict[str, Any]) -> Optional[str]:
        """What computed in how many bits goes into `detail`; a sentence where nothing did as asked."""
        wanted = self._params.precision
        events = self._profiled()
        if events is None:
            detail["operators"] = TOO_LARGE
            return None
        found = counted(events)
        detail["operators"] = found
        if wanted in found:
            return None
        kinds = ", ".join(sorted(found)) or "nothing"
        return f"asked for {wanted}, but every operator computed in {kinds}: {self._wanted} has no kernel for it"

    def _profiled(self) -> Optional[List[Dict[str, Any]]]:
        """The events of one inference in a session of its own; None where the model is too large for a second one."""
        if os.path.getsize(self._path) > MAX_CENSUS_BYTES:
            return None
        count = self._params.batches[0] if self._params.batches else 1
        samples = {name: self._params.samples[name] for name in self._params.input_order}
        feeds = {name: array.take(range(count), axis=0, mode="wrap") if self._params.batchable else array[0]
                 for name, array in samples.items()}
        return profile(self._path, self._fresh_options(), self._providers(), self._names, feeds)

    def _assigned(self) -> Dict[str, int]:
        """Provider → number of nodes; empty where this version does not say."""
        counts: Dict[str, int] = {}
        try:
            for subgraph in self._session.get_provider_graph_assignment_info():
                counts[subgraph.ep_name] = counts.get(subgraph.ep_name, 0) + len(subgraph.get_nodes())
        except Exception:
            return {}
        return counts


def convert(path: str, out_dir: str, params: ConvertParams) -> str:
    """ONNX → ONNX in fewer bits, in the converter's environment."""
    from .onnxruntime_convert import convert as run

    return run(path, out_dir, params)


def session_options(params: Params) -> Any:
    """What the settings say, as a session takes it."""
    settings = params.settings
    options = onnxruntime.SessionOptions()
    level = settings.get("graph_optimization_level", "all")
    if level not in LEVELS:
        raise Unsupported(f"graph_optimization_level is one of {', '.join(LEVELS)}, not {level!r}")
    options.graph_optimization_level = LEVELS[level]
    options.enable_cpu_mem_arena = bool(settings.get("enable_cpu_mem_arena", True))
    options.enable_mem_pattern = bool(settings.get("enable_mem_pattern", True))
    options.log_severity_level = 3
    across = int(settings.get("inter_op_threads") or 0)
    if settings.get("execution_mode", "sequential") == "parallel":
        across = across or params.threads
        if not 2 <= across <= params.threads:  # with one, the session silently runs in sequence
            raise Unsupported(f"execution_mode parallel needs two inter_op_threads or more of {params.threads}, not {across}")
        # The threads are those of the pool that runs branches side by side; both pools full would be threads².
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
        options.inter_op_num_threads, options.intra_op_num_threads = across, max(1, params.threads // across)
    elif across:
        raise Unsupported("inter_op_threads has an effect in execution_mode parallel only")
    else:
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.inter_op_num_threads, options.intra_op_num_threads = 1, params.threads
    for entry in SPINNING:
        options.add_session_config_entry(entry, "1" if settings.get("allow_spinning", True) else "0")
    options.add_session_config_entry(DYNAMIC_BLOCK_BASE, str(int(settings.get("dynamic_block_base") or 0)))
    options.add_session_config_entry(DENORMALS, "1" if settings.get("denormals_are_zero", False) else "0")
    options.add_session_config_entry(RECORD_ASSIGNMENT, "1")
    return options


def applied(options: Any) -> Dict[str, Any]:
    """What the session itself says it was made with, in the words of the settings."""
    entry = options.get_session_config_entry
    levels = {level: name for name, level in LEVELS.items()}
    parallel = options.execution_mode == onnxruntime.ExecutionMode.ORT_PARALLEL
    return {
        "intra_op_threads": options.intra_op_num_threads, "inter_op_threads": options.inter_op_num_threads,
        "graph_optimization_level": levels.get(options.graph_optimization_level, "another"),
        "execution_mode": "parallel" if parallel else "sequential",
        "allow_spinning": all(entry(name) == "1" for name in SPINNING),
        "enable_cpu_mem_arena": options.enable_cpu_mem_arena, "enable_mem_pattern": options.enable_mem_pattern,
        "dynamic_block_base": int(entry(DYNAMIC_BLOCK_BASE)), "denormals_are_zero": entry(DENORMALS) == "1",
    }


def explained(error: Exception) -> Exception:
    """`Unsupported` where the message says that the model is beyond ONNX Runtime; else the error itself."""
    text = " ".join(str(error).split()).split(" failed:")[-1]  # what precedes it is a path
    signs = ("NOT_IMPLEMENTED", "Could not find an implementation", "is not a registered function/op",
             "No Op registered for", "official support for", "is under development", "No opset import for domain",
             "Unsupported model IR version")
    return Unsupported(text[:300]) if any(sign in text for sign in signs) else error
