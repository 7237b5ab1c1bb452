"""PyTorch on a CUDA device: the CPU's adapter with its tensors elsewhere.

Not verified on hardware: only what happens without a GPU is.
"""
from __future__ import annotations

from dataclasses import replace
from typing import Any, List

import numpy as np
import torch

from .base import Evidence, Fallback, Feeds, Params
from .torch import Adapter as TorchAdapter

DEVICE = "cuda"


class Adapter(TorchAdapter):
    """Weights stay on the device; inputs and outputs go there and back in every inference."""

    PLACE = DEVICE
    PRECISIONS = ("fp32", "tf32", "fp16", "bf16")

    def _accept(self, params: Params) -> None:
        super()._accept(params)
        if not torch.cuda.is_available():
            built = f"is built for CUDA {torch.version.cuda} and finds no GPU" if torch.version.cuda else "is built without CUDA"
            raise Fallback(f"PyTorch {torch.__version__} {built}: it would run on the CPU")
        # TF32 is on by default for convolutions: fp32 would have 10 bits of mantissa in every product.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = params.precision == "tf32"
        torch.backends.cudnn.benchmark = bool(params.settings.get("cudnn_benchmark", False))

    def _infer(self, arrays: List[np.ndarray]) -> List[np.ndarray]:
        """The copy back waits for what is copied."""
        return [output.cpu().numpy() for output in self._run(self._tensors(arrays))]

    def to_device(self, inputs: Feeds) -> Any:
        """Tensors on the device, cast and laid out as the program takes them; None where it is fed part by part."""
        arrays = [inputs[name] for name in self._params.input_order]
        if self._fixed is not None and self._params.batchable and len(arrays[0]) != self._fixed:
            return None
        return self._tensors(arrays)

    def predict_on_device(self, resident: Any) -> Any:
        """Enqueued only; `synchronize` waits."""
        return self._run(resident)

    def synchronize(self) -> None:
        """Wait for the device."""
        torch.cuda.synchronize()

    def evidence(self) -> Evidence:
        """With the device's name, and whether products are rounded to TF32."""
        found = super().evidence()
        said = {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(),
                "tf32": [torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32]}
        return replace(found, detail={**found.detail, **said})
