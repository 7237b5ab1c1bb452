"""The conversion job: calls an adapter's `convert` in the converter's own environment and times it."""

import importlib
import importlib.util
import os
import platform
import sys
import time
from typing import Any, Dict, Mapping

import numpy as np
from adapters.base import Converted, ConvertParams
from events import shorten

ARTIFACT_FOLDER = "artifact"
MAX_REASON = 1_000


def run(job: Mapping[str, Any], out_dir: str, events: Any) -> Dict[str, Any]:
    """What the result gets: `phases`, `artifact`, `versions`. What the adapter raises is the caller's to classify."""
    folder = os.path.join(out_dir, ARTIFACT_FOLDER)
    os.makedirs(folder, exist_ok=True)
    began = time.perf_counter()
    module = adapter_module(job)
    imported = time.perf_counter()
    events.emit("convert", note="{} reads {}".format(job["adapter"], os.path.basename(job["model"]["path"])))
    made = module.convert(job["model"]["path"], folder, _params(job))
    converted = time.perf_counter()
    made = checked(made, folder)
    file = made.file
    return {
        "phases": {"import_ms": (imported - began) * 1e3, "convert_ms": (converted - imported) * 1e3},
        "artifact": {"format": artifact_format(module, file), "file": file, "bytes": _size(folder), "others": dict(made.others),
                     "lacking": {form: shorten(reason, MAX_REASON) for form, reason in made.lacking.items()}},
        "versions": _versions(),
    }


def checked(made: Any, folder: str) -> Converted:
    """What `convert` returned, in full. Raises RuntimeError where it names a file that is not there."""
    made = made if isinstance(made, Converted) else Converted(file=made)
    for name in (made.file, *made.others.values()):
        if not os.path.exists(os.path.join(folder, name)):
            raise RuntimeError("the converter named {} and did not write it".format(name))
    return made


def adapter_module(job: Mapping[str, Any]) -> Any:
    """The module of the job's adapter, from below adapters/ or from the user's own file."""
    if not job.get("adapter_file"):
        return importlib.import_module("adapters." + job["adapter"])
    spec = importlib.util.spec_from_file_location("infermatrix_adapter", job["adapter_file"])
    if spec is None or spec.loader is None:
        raise ImportError("{} is no Python module".format(job["adapter_file"]))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def artifact_format(module: Any, file: str) -> str:
    """The adapter's own word for what ends like this, else the ending."""
    ending = os.path.splitext(file)[1]
    return str(getattr(module, "ARTIFACT_FORMATS", {}).get(ending, ending[1:]))


def _params(job: Mapping[str, Any]) -> ConvertParams:
    with np.load(job["inputs"], allow_pickle=False) as archive:
        samples = {name: archive[name] for name in job["input_order"]}
    batch = job.get("batch")
    return ConvertParams(
        settings=dict(job.get("settings") or {}), precision=str(job.get("precision", "fp32")),
        batch=None if batch is None else int(batch), model_name=str(job["model"].get("name", "")),
        input_order=tuple(job["input_order"]), output_order=tuple(job["output_order"]), samples=samples,
        batchable=bool(job.get("batchable", True)), fixed_batch=int(job.get("fixed_batch", 1)),
    )


def _size(folder: str) -> int:
    return sum(os.path.getsize(os.path.join(root, name)) for root, _, names in os.walk(folder) for name in names)


def _versions() -> Dict[str, str]:
    """Everything in the converter's environment: which of it did the work is the adapter's affair."""
    from importlib import metadata  # Python 3.8: no converter is older

    versions = {str(dist.metadata["Name"]).lower(): dist.version for dist in metadata.distributions() if dist.metadata["Name"]}
    return {"python": platform.python_version(), **dict(sorted(versions.items()))}
