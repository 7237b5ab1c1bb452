"""PyTorch: runs a program of torch.export (`.pt2`), or a TorchScript file (`.ts`) where no program could be made.

Both come from the model's own source, or from ONNX through `torch_convert.py`; neither needs the converter here.
"""
from __future__ import annotations

import contextlib
import os
import warnings
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
import torch

from .base import Adapter as BaseAdapter
from .base import ConvertParams, Evidence, Feeds, Params, Unsupported
from .torch_aot import AheadOfTime, Program
from .torch_artifact import about
from .torch_cache import InductorCache, not_compiled
from .torch_precision import WIDTHS, cast, narrow, quantise, widths

ARTIFACT_FORMATS = {".pt2": "pt2", ".ts": "torchscript"}
MODES = ("eager", "jit", "compile", "aot")
COMPILE_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
GRADIENTS = {"inference_mode": torch.inference_mode, "no_grad": torch.no_grad, "recorded": contextlib.nullcontext}


class Adapter(BaseAdapter):
    """One module and, in the modes other than eager, what was made of it."""

    PLACE = "cpu"  # where tensors are; a row for another device has another
    PRECISIONS: Sequence[str] = (*WIDTHS, "int8")
    MODES: Sequence[str] = MODES

    def load(self, path: str, params: Params) -> None:
        """Sets the process's threads, then loads."""
        self._accept(params)
        self._mode = _one_of(params, "mode", self.MODES)
        self._compile_mode = _one_of(params, "compile_mode", COMPILE_MODES)
        if self._compile_mode != "default" and self._mode != "compile":
            raise Unsupported(f"compile_mode {self._compile_mode} has an effect in mode compile only")
        torch.set_num_threads(params.threads)
        across = int(params.settings.get("num_interop_threads") or 1)
        if torch.get_num_interop_threads() != across:  # a process may set it once, and conformance tests load many models
            torch.set_num_interop_threads(across)
        torch.backends.mkldnn.set_flags(bool(params.settings.get("mkldnn", True)))
        self._gradients = GRADIENTS[_one_of(params, "gradients", tuple(GRADIENTS))]
        # Inputs are borrowed, not copied; that they are read-only is what we want.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        self._params = params
        self._channels_last = bool(params.settings.get("channels_last", False))
        self._script = not path.endswith(".pt2")
        self._width = WIDTHS.get(params.precision, torch.float32)
        self._path = path
        self._fixed: Optional[int] = about(path).get("batch")
        self._call: Any = None
        self._about: Dict[str, Any] = {}
        self._ahead = self._ahead_of_time() if self._mode == "aot" else None
        if self._ahead is None:
            self._module, self._about = self._program()
            self._call = self._module
        self._traced_for: Sequence[Any] = ()
        self._recorded: Optional[bool] = None
        self._inference = False
        self._cache: Optional[InductorCache] = None

    def _program(self) -> Program:
        """The model as it is run, or compiled."""
        module = self._load_script() if self._script else self._load_program()
        quantised = quantise(module) if self._params.precision == "int8" else 0
        if self._width is not torch.float32:
            narrow(module, self._width)
        if self._channels_last:
            module.to(memory_format=torch.channels_last)
        devices = {tensor.device.type for tensor in (*module.parameters(), *module.buffers())} or {self.PLACE}
        return Program(module, {"numbers": widths(module), "quantised_layers": quantised, "devices": sorted(devices)})

    def _ahead_of_time(self) -> AheadOfTime:
        if self._script:
            raise Unsupported("this model could only be converted to TorchScript, which AOTInductor does not take")
        if self._gradients is GRADIENTS["recorded"]:
            raise Unsupported("what is compiled ahead of time records no gradients")
        versions = {name: version for name, version in self.versions().items() if name != "numpy"}
        return AheadOfTime(self._program, self._path, self._params, versions, self._ahead_configs())

    def _ahead_configs(self) -> Dict[str, Any]:
        """What inductor is told beside freezing, in mode aot."""
        return {}

    def _accept(self, params: Params) -> None:
        if params.precision not in self.PRECISIONS:
            raise Unsupported(f"PyTorch has no {params.precision} here")
        if params.device.split(":")[0] != self.PLACE:
            raise Unsupported(f"PyTorch runs on {self.PLACE} here, not on {params.device}")

    def compile(self, example: Feeds) -> bool:
        """Trace and freeze, or hand to inductor; then run once, for all of them compile on the first call."""
        if self._mode == "eager":
            return False
        if self._mode == "compile":
            self._prepare_inductor()
            self._call = self._compiled()
        self.predict(example)
        return True

    def _compiled(self) -> Any:
        return torch.compile(self._module, dynamic=False, mode=self._compile_mode)

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """Fresh arrays on every call."""
        arrays = [inputs[name] for name in self._params.input_order]
        if self._fixed is None or not self._params.batchable or len(arrays[0]) == self._fixed:
            return self._infer(arrays)
        if len(arrays[0]) % self._fixed:
            raise Unsupported(f"the converted program takes {self._fixed} samples at a time")
        parts = [self._infer([array[i:i + self._fixed] for array in arrays]) for i in range(0, len(arrays[0]), self._fixed)]
        return [np.concatenate([part[index] for part in parts]) for index in range(len(parts[0]))]

    def _infer(self, arrays: List[np.ndarray]) -> List[np.ndarray]:
        return [output.numpy() for output in self._run(self._tensors(arrays))]

    def _tensors(self, arrays: List[np.ndarray]) -> List[Any]:
        """As the program takes them, where it takes them."""
        tensors = [torch.from_numpy(array) for array in arrays]
        if self.PLACE != "cpu":
            tensors = [tensor.to(self.PLACE) for tensor in tensors]
        if self._channels_last:
            tensors = [t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t for t in tensors]
        return tensors if self._width is torch.float32 else cast(tensors, self._width)

    def _run(self, tensors: List[Any]) -> List[Any]:
        """The program's outputs, where they are."""
        if self._mode == "jit":
            self._trace(tensors)
        elif self._ahead is not None:
            self._call = self._ahead.of(tensors)
        with self._gradients():
            outputs = self._call(*tensors)
        if isinstance(outputs, torch.Tensor):
            outputs = (outputs,)
        if self._recorded is None:  # the first outputs are the evidence of how they were made
            self._recorded = any(output.requires_grad for output in outputs)
            self._inference = all(output.is_inference() for output in outputs)
        if self._recorded:
            outputs = [output.detach() for output in outputs]
        return list(outputs) if self._width is torch.float32 else cast(outputs, torch.float32)

    def _trace(self, tensors: List[Any]) -> None:
        """A frozen graph holds for the shapes that it was traced with: one at a time, remade when the batch changes."""
        shapes = [tensor.shape for tensor in tensors]
        if shapes == self._traced_for:
            return
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            traced = self._module if self._script else torch.jit.trace(self._module, tuple(tensors), check_trace=False)
            frozen = torch.jit.freeze(traced.eval()) if isinstance(traced, torch.jit.ScriptModule) else traced
            self._call = torch.jit.optimize_for_inference(frozen)
        self._traced_for = shapes

    def _prepare_inductor(self) -> None:
        if self._script:
            raise Unsupported("this model could only be converted to TorchScript, which torch.compile does not take")
        import torch._dynamo
        import torch._inductor.config

        if self._params.cache_dir:
            folder = os.path.join(self._params.cache_dir, "inductor")
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
            self._cache = InductorCache(folder)
        torch._inductor.config.freezing = bool(self._params.settings.get("freezing", True))
        torch._inductor.config.compile_threads = 1  # else a pool of processes outlives the compilation
        # A batch size more than the limit would run uncompiled, silently.
        torch._dynamo.config.recompile_limit = len(self._params.batches) + 8
        torch._dynamo.config.fail_on_recompile_limit_hit = True

    def evidence(self) -> Evidence:
        """Where the parameters are, and for jit and compile what was really made."""
        about = self._about if self._ahead is None else self._ahead.about
        devices = set(about.get("devices") or [self.PLACE])
        detail: Dict[str, Any] = {
            "mode": self._mode, "threads": torch.get_num_threads(), "interop_threads": torch.get_num_interop_threads(),
            "source": "torchscript" if self._script else "torch.export", "fixed_batch": self._fixed,
            "mkldnn": torch.backends.mkldnn.enabled, "gradients": self._said_of_gradients(),
            "channels_last": self._channels_last,
            "numbers": about.get("numbers"), "quantised_layers": about.get("quantised_layers")}
        if self.PLACE == "cpu" and self._width is torch.bfloat16:  # without them it computes in fp32 and rounds
            detail["bf16_instructions"] = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
        elif self.PLACE == "cpu" and self._width is torch.float16:
            detail["fp16_instructions"] = bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())
        fallback = None
        if devices != {self.PLACE}:
            fallback = f"asked for {self.PLACE}, tensors are on {', '.join(sorted(devices))}"
        elif self._mode == "jit":
            fallback = self._jit_evidence(detail)
        elif self._mode == "compile":
            fallback = self._compile_evidence(detail)
        elif self._ahead is not None:
            detail.update(self._ahead.evidence())
            fallback = self._ahead.fallback()
        looped = self._fixed is not None and self._params.batchable and any(b != self._fixed for b in self._params.batches)
        kept = None
        if self._params.keep_cache:
            compiled = self._ahead or self._cache
            kept = compiled.use() if compiled is not None else not_compiled(self._mode)
        return Evidence(device=self.PLACE, executed_on=[f"PyTorch {self._mode}"], fallback=fallback,
                        batching="loop" if looped else "native", detail=detail, cache=kept)

    def _said_of_gradients(self) -> str:
        return "recorded" if self._recorded else "inference_mode" if self._inference else "no_grad"

    def _jit_evidence(self, detail: Dict[str, Any]) -> Optional[str]:
        if not isinstance(self._call, torch.jit.ScriptModule):
            return "no TorchScript graph was made"
        detail["graph_nodes"] = sum(1 for _ in self._call.graph.nodes())
        detail["frozen"] = not list(self._call.parameters())
        return None if detail["frozen"] else "the TorchScript graph was not frozen"

    def _compile_evidence(self, detail: Dict[str, Any]) -> Optional[str]:
        import torch._inductor.config
        from torch._dynamo.utils import counters
        from torch._inductor import metrics

        stats = counters["stats"]
        applied = self._call.get_compiler_config() or {}
        detail["freezing"] = torch._inductor.config.freezing
        tried = ("max_autotune", "triton.cudagraphs", "coordinate_descent_tuning")
        detail["compiler"] = {name: applied.get(name) for name in tried}
        detail.update(compiled_graphs=stats["unique_graphs"], captured_calls=stats["calls_captured"],
                      graph_breaks=sum(counters["graph_break"].values()), generated_kernels=metrics.generated_kernel_count)
        return None if stats["unique_graphs"] else "torch.compile compiled nothing; the model ran eagerly"

    def versions(self) -> Dict[str, str]:
        """torch and numpy."""
        return {"torch": torch.__version__, "numpy": np.__version__}

    def _load_program(self) -> Any:
        program = torch.export.load(self._path)
        if self.PLACE != "cpu":  # the program names its device itself, wherever it makes a tensor
            from torch.export.passes import move_to_device_pass

            program = move_to_device_pass(program, self.PLACE)
        module = program.module(check_guards=False)
        # Plain positional code: nested containers, and shapes checked on every call, are for callers one does not know.
        module._forward_pre_hooks.clear()
        module.graph.set_codegen(torch.fx.graph.CodeGen())
        module.recompile()
        return module

    def _load_script(self) -> Any:
        return torch.jit.load(self._path, map_location=self.PLACE).eval()


def _one_of(params: Params, name: str, known: Sequence[str]) -> str:
    """A setting that is one of a few words; the first where it is not given."""
    value = str(params.settings.get(name, known[0]))
    if value not in known:
        raise Unsupported(f"{name} is one of {', '.join(known)}, not {value!r}")
    return value


def convert(path: str, out_dir: str, params: ConvertParams) -> str:
    """ONNX → torch.export (or TorchScript), in the converter's environment."""
    from .torch_convert import convert as run

    return run(path, out_dir, params)
