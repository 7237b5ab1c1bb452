"""TensorFlow on a CUDA device: the CPU's adapter where a GPU may be seen.

Not verified on hardware: only what happens without a GPU is.
"""
from __future__ import annotations

from dataclasses import replace
from typing import Dict, Mapping, Optional

from .base import Evidence, Fallback, Params, Unsupported
from .tensorflow import ARTIFACT_FORMATS as ARTIFACT_FORMATS  # the conversion is the CPU row's
from .tensorflow import Adapter as PlainAdapter

DEVICE = "cuda"
# Operators that compute shapes and indices: TensorFlow keeps them on the host on purpose.
ON_THE_HOST = frozenset(("Shape", "StridedSlice", "Pack", "Unpack", "ConcatV2", "Prod", "Cast", "Mul", "Range", "Fill",
                         "Reshape"))


def environment(params: Params) -> Dict[str, str]:
    """Memory as it is needed: TensorFlow takes all of the device at its start otherwise."""
    del params
    return {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}


class Adapter(PlainAdapter):
    """The same SavedModel; TensorFlow places its operators, and the evidence says where."""

    def _accept(self, params: Params) -> None:
        if params.precision not in ("fp32", "tf32"):
            raise Unsupported(f"TensorFlow runs fp32 and tf32 here, not {params.precision}")
        if params.device.split(":")[0] != DEVICE:
            raise Unsupported(f"TensorFlow runs on {DEVICE} here, not on {params.device}")
        if not self._tf.config.list_physical_devices("GPU"):
            with_cuda = self._tf.test.is_built_with_cuda()
            built = "finds no GPU or misses a library of CUDA's" if with_cuda else "is built without CUDA"
            raise Fallback(f"TensorFlow {self._tf.__version__} {built}: it would run on the CPU")
        # On by default: fp32 would have 10 bits of mantissa in every product.
        self._tf.config.experimental.enable_tensor_float_32_execution(params.precision == "tf32")

    def evidence(self) -> Evidence:
        """With the GPU's name, and whether products are rounded to TF32."""
        found, tf = super().evidence(), self._tf
        about = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
        said = {"gpu": str(about.get("device_name")), "tf32": bool(tf.config.experimental.tensor_float_32_execution_enabled())}
        return replace(found, device=DEVICE, executed_on=["XLA GPU" if self._xla else "TensorFlow GPU"],
                       detail={**found.detail, **said})

    def final_evidence(self) -> Evidence:
        """And where the operators of one more inference were placed: none that computes may be on the host."""
        found = super().final_evidence()
        return replace(found, fallback=found.fallback or left_on_host(self._placed))

    def versions(self) -> Dict[str, str]:
        """The distribution that holds CUDA's kernels has the plain name."""
        return {name: version for name, version in super().versions().items() if name != "tensorflow-cpu"}


def left_on_host(placed: Mapping[str, Mapping[str, int]]) -> Optional[str]:
    """A sentence where an operator that computes was placed on no GPU; arithmetic on shapes does not count.

    XLA tells no placement.
    """
    elsewhere = {kind: count for device, found in placed.items() if not device.startswith("GPU")
                 for kind, count in found.items() if kind not in ON_THE_HOST}
    if not elsewhere:
        return None
    listed = ", ".join(f"{count} × {kind}" for kind, count in sorted(elsewhere.items(), key=lambda item: (-item[1], item[0]))[:5])
    return f"not all of it ran on the GPU: {listed} did not"
