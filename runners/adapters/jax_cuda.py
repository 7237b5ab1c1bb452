"""JAX on a CUDA device: the CPU's adapter on another platform. Not verified on hardware: only what happens without a GPU is."""
from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict

import jax

from .base import Evidence, Fallback, Feeds, Params
from .jax import Adapter as PlainAdapter

PLATFORM = "cuda"


class Adapter(PlainAdapter):
    """Weights stay on the device; inputs and outputs go there and back in every inference."""

    PLATFORM = PLATFORM

    def _first_device(self) -> Any:
        try:
            return super()._first_device()
        except (RuntimeError, AssertionError) as error:  # the driver is not there; the plugin is not (JAX asserts without a word)
            said = (str(error).strip().splitlines() or ["no plugin for it is installed"])[0][:200]
            raise Fallback(f"JAX has no CUDA here and would run on the CPU: {said}") from None

    def _held(self, weights: Any) -> Any:
        return jax.device_put(weights, self._device)

    def to_device(self, inputs: Feeds) -> Any:
        """The inputs as arrays of the device."""
        return jax.block_until_ready({name: jax.device_put(inputs[name], self._device) for name in self._params.input_order})

    def predict_on_device(self, resident: Any) -> Any:
        """Waits for the outputs, which stay on the device: JAX has nothing else to wait for."""
        return jax.block_until_ready(self._for(resident).call(self._weights, resident))

    def evidence(self) -> Evidence:
        """The device by name. The threads of the host's pool do not compute here."""
        found = super().evidence()
        wrong = None if self._device.platform == "gpu" else f"asked for {PLATFORM}, ran on {self._device.platform}"
        return replace(found, device=PLATFORM if wrong is None else self._device.platform, fallback=wrong,
                       detail={**found.detail, "gpu": self._device.device_kind})


def environment(params: Params) -> Dict[str, str]:
    """Memory as it is needed: JAX takes three quarters of the device at its start otherwise, and figures would show that."""
    del params
    return {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
