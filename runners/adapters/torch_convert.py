"""ONNX → PyTorch; runs in the converter's environment (torch, onnx2torch, onnx, onnxslim).

Writes `model.pt2` (torch.export) or, where that fails, `model.ts` (TorchScript); either carries `infermatrix.json`, which
says whether the batch is fixed. The runtime needs nothing but torch to load them.
"""
from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
import warnings
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch

from .base import ConvertParams, Unsupported
from .torch_artifact import ABOUT

AGREE = {"rtol": 1e-3, "atol": 1e-4}  # between the module and what was made of it: same library, same operators
Tensors = Tuple[Any, ...]


def convert(path: str, out_dir: str, params: ConvertParams) -> str:
    """Returns the name of the file below `out_dir`.

    Raises:
        Unsupported: an operator that the importer lacks, or a program that can be made in none of the four ways.
    """
    if params.precision != "fp32":
        raise Unsupported(f"PyTorch runs fp32 here, not {params.precision}")
    torch.manual_seed(0)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        reasons: List[str] = []
        for file, batch, make in _ways(path, out_dir, params):
            try:
                made = make()
                _save(made, os.path.join(out_dir, file), batch)
            except Exception as error:  # what a tracer can raise is without end; the next way is tried
                reasons.append(f"{file}: {_one_line(error)}")
                continue
            for reason in reasons:
                print(f"torch: not possible: {reason}", file=sys.stderr)
            return file
    raise Unsupported("PyTorch cannot capture this model: " + reasons[0])


def _imported(path: str, out_dir: str, params: ConvertParams, batch: Optional[int]) -> Any:
    """The model as a torch.fx module that has run once; with `batch` all its shapes are constants."""
    from torchvision_shim import declare_operators

    declare_operators()
    from onnx2torch import convert as onnx2torch

    from .torch_operators import register
    from .torch_prepare import is_large, prepared

    register()
    samples = {name: params.samples[name] for name in params.input_order}
    model = prepared(path, samples, batchable=params.batchable, batch=batch)
    try:
        with tempfile.TemporaryDirectory(dir=out_dir) as scratch:
            module = onnx2torch(_spilled(model, scratch) if is_large(model) else model).eval()
    except NotImplementedError as error:
        raise Unsupported(_missing(str(error))) from error
    except Exception as error:
        raise Unsupported(f"onnx2torch cannot import this model: {_one_line(error)}") from error
    wrapper = _Outputs(module)
    try:
        wrapper(*_rows(params, batch or 1))
    except Exception as error:
        raise Unsupported(f"onnx2torch's module does not run: {_one_line(error)}") from error
    return wrapper


def _spilled(model: Any, folder: str) -> str:
    """The path of a copy whose weights lie beside it, for what would have to serialise the model otherwise."""
    import onnx

    path = os.path.join(folder, "model.onnx")
    onnx.save(model, path, save_as_external_data=True, location="weights")
    return path


class _Outputs(torch.nn.Module):
    """One tuple of tensors, whatever the number of outputs."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *tensors: Any) -> Tensors:
        outputs = self.inner(*tensors)
        return tuple(outputs) if isinstance(outputs, (tuple, list)) else (outputs,)


def _ways(path: str, out_dir: str, params: ConvertParams) -> List[Tuple[str, Optional[int], Callable[[], Any]]]:
    """(file, fixed batch or None, how to make it), best first. What cannot be imported at all ends it."""
    fixed = (params.batch or 1) if params.batchable else params.fixed_batch
    ways: List[Tuple[str, Optional[int], Callable[[], Any]]] = []
    if params.batchable:
        free = _imported(path, out_dir, params, None)
        ways.append(("model.pt2", None, lambda: _exported(free, params, 2, _dynamic(params))))
        ways.append(("model.ts", None, lambda: _traced(free, params, 2, another=3)))
    pinned = functools.lru_cache(maxsize=1)(lambda: _imported(path, out_dir, params, fixed))
    ways.append(("model.pt2", fixed, lambda: _exported(pinned(), params, fixed, None)))
    ways.append(("model.ts", fixed, lambda: _traced(pinned(), params, fixed, another=fixed)))
    return ways


def _exported(module: Any, params: ConvertParams, batch: int, dynamic: Any) -> Any:
    program = torch.export.export(module, _rows(params, batch), dynamic_shapes=dynamic, strict=False)
    _agree(program.module(), module, params, batch if dynamic is None else 3)
    return program


def _dynamic(params: ConvertParams) -> Any:
    axis = torch.export.Dim("batch")
    # One nesting level for `*tensors` of the wrapper.
    return (tuple({0: axis} for _ in params.input_order),)


def _traced(module: Any, params: ConvertParams, batch: int, *, another: int) -> Any:
    script = torch.jit.trace(module, _rows(params, batch), check_trace=False)
    _agree(script, module, params, another)
    return script


def _agree(made: Any, module: Any, params: ConvertParams, batch: int) -> None:
    """What was captured must give the module's own answers, also for another batch than it was captured with."""
    rows = _rows(params, batch)
    answers, expected = made(*rows), module(*rows)
    for index, wanted in enumerate(expected):
        got = answers[index]
        if got.shape != wanted.shape or not torch.allclose(got.double(), wanted.double(), equal_nan=True, **AGREE):
            raise ValueError(f"at batch {batch} the captured program gives other answers than the module")


def _rows(params: ConvertParams, batch: int) -> Tensors:
    tensors = []
    for name in params.input_order:
        array = params.samples[name]
        rows = array.take(range(batch), axis=0, mode="wrap") if params.batchable else array[0]
        tensors.append(torch.from_numpy(np.ascontiguousarray(rows)))
    return tuple(tensors)


def _save(made: Any, path: str, batch: Optional[int]) -> None:
    extra: Dict[str, str] = {ABOUT: json.dumps({"batch": batch})}
    if path.endswith(".pt2"):
        torch.export.save(made, path, extra_files=extra)
    else:
        torch.jit.save(made, path, _extra_files=extra)


def _missing(message: str) -> str:
    """onnx2torch's "Converter is not implemented (OperationDescription(domain='', operation_type='If', version=16))"."""
    found = dict(part.split("=", 1) for part in _inside(message).split(", ") if "=" in part)
    if "operation_type" not in found:
        return f"onnx2torch cannot import this model: {message}"
    domain = found.get("domain", "''").strip("'")
    kind = found["operation_type"].strip("'")
    return f"operator {domain + '::' if domain else ''}{kind} (version {found.get('version', '?')}) is not in onnx2torch"


def _inside(message: str) -> str:
    return message[message.rfind("(") + 1:].rstrip(")")


def _one_line(error: BaseException) -> str:
    lines: Sequence[str] = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]
