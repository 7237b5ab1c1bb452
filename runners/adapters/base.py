"""What an adapter is: the one class each backend implements, and the values that pass through it.

An adapter module defines `class Adapter(base.Adapter)`, and `convert(path, out_dir, params)` if its backend has a
converter. Creating the `Adapter` is part of the timed import phase, so its `__init__` (or the module's top) is where the
framework is imported; a module with a `convert` imports lazily, because the converter's environment may lack the framework.
A framework that reads variables while it is imported gets them from a function `environment(params)` of the module, which
returns names and values; `params` has no samples then, and the `Adapter` is made afterwards.
"""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

Feeds = Dict[str, np.ndarray]


class Unsupported(Exception):
    """The backend cannot run this model, precision, setting or batch, and says so: the cell is `unsupported`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Fallback(Exception):
    """The backend would run, but elsewhere than was asked (another device, a reference path): the cell is `fallback`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Params:
    """What `load` gets beside the path."""

    settings: Mapping[str, Any] = field(default_factory=dict)  # of the backend's own, defaults filled in
    precision: str = "fp32"
    device: str = "cpu"
    threads: int = 1
    seed: int = 0
    cache_dir: Optional[str] = None  # writable; lives as long as the trial
    keep_cache: bool = False  # write what was compiled to cache_dir for the next process, and take what one left there
    model_name: str = ""
    format: str = "onnx"
    input_order: Sequence[str] = ()  # the model's own input names, in its own order
    output_order: Sequence[str] = ()  # the order `predict` returns
    batchable: bool = True  # False: the model takes exactly `fixed_batch` samples at a time
    fixed_batch: int = 1
    batches: Sequence[int] = ()  # the batch sizes that this trial will measure, ascending
    samples: Feeds = field(default_factory=dict)  # inputs.npz: S rows each (not batchable: S x the fixed shape)


@dataclass(frozen=True)
class ConvertParams:
    """What `convert` gets beside the model's path and the folder to write to."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    precision: str = "fp32"
    batch: Optional[int] = None  # the static batch size, where the converter needs one
    model_name: str = ""
    input_order: Sequence[str] = ()
    output_order: Sequence[str] = ()
    samples: Feeds = field(default_factory=dict)  # inputs.npz, for shapes, types and tracing
    batchable: bool = True
    fixed_batch: int = 1

    def feeds(self) -> List[Feeds]:
        """Every sample as the feeds of one inference: what a quantisation is calibrated on."""
        count = min(len(self.samples[name]) for name in self.input_order)
        if self.batchable:
            return [{name: self.samples[name][i:i + 1] for name in self.input_order} for i in range(count)]
        return [{name: np.asarray(self.samples[name][i]) for name in self.input_order} for i in range(count)]


@dataclass(frozen=True)
class Converted:
    """What `convert` returns where one conversion makes several formats; where it makes one, the file's name is enough."""

    file: str  # below out_dir; a folder counts as a file
    others: Mapping[str, str] = field(default_factory=dict)  # format -> file, for backends that share this converter
    lacking: Mapping[str, str] = field(default_factory=dict)  # format -> why this model has none: their cells are `unsupported`


@dataclass(frozen=True)
class CacheUse:
    """What became of the backend's own cache on disk, where `Params.keep_cache` asked for it."""

    kind: str  # what is kept: "compiled model", "inductor" …; "none" where the backend keeps nothing between processes
    hit: bool = False  # this process took what an earlier one had compiled; never assumed from files being there
    note: str = ""  # one sentence where kind or hit need one
    detail: Dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """What really executed, as far as the backend can tell."""

    device: str  # cpu, cuda …
    executed_on: List[str] = field(default_factory=list)  # providers, plugins, kernels
    fallback: Optional[str] = None  # a sentence, if anything ran elsewhere than asked: the cell becomes `fallback`
    batching: str = "native"  # native | loop (one sample after the other inside predict) | fixed
    detail: Dict[str, Any] = field(default_factory=dict)  # small and JSON-able: versions of kernels, real threads …
    cache: Optional[CacheUse] = None  # None: the adapter does not say, or was not asked to keep one


class Adapter:
    """One backend, unified. Every method may raise `Unsupported` or `Fallback`; anything else is a failure of that phase."""

    def load(self, path: str, params: Params) -> None:
        """Load the model at `path` and apply the settings; what `compile` splits off need not be done here."""
        raise NotImplementedError

    def compile(self, example: Feeds) -> bool:
        """Do the work that is separate from loading, given a batch like those to come; False where there is none.

        Called once per trial, after `load`, with the smallest batch that will be measured.
        """
        del example
        return False

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """One inference: named host arrays in (C-contiguous, not to be changed), host arrays out in `output_order`.

        Synchronised: the values are there on return. An output may be a view of a buffer that the next call reuses.
        """
        raise NotImplementedError

    def to_device(self, inputs: Feeds) -> Any:
        """The inputs where the device keeps them, for `predict_on_device`; None where there is no memory but the host's.

        With it a second figure is measured beside the first: the time without the copies to the device and back.
        """
        del inputs

    def predict_on_device(self, resident: Any) -> Any:
        """One inference from what `to_device` gave; the outputs stay on the device. Timed up to `synchronize`."""
        raise NotImplementedError

    def synchronize(self) -> None:
        """Wait until the device has nothing left to do; a no-op where `predict` always waits."""

    def evidence(self) -> Evidence:
        """Called after the first inference of each cell; `final_evidence`, which by default is the same, has the last word."""
        raise NotImplementedError

    def final_evidence(self) -> Evidence:
        """Called once, when every cell is measured: the place for questions that take time or memory."""
        return self.evidence()

    def versions(self) -> Dict[str, str]:
        """Distribution name → version of what was imported; the backend's own distribution among them."""
        raise NotImplementedError
