"""Exports one built-in model: ONNX, torch.export, inputs, float64 reference. Runs in the models' own environment."""
from __future__ import annotations

import json
import os
import platform
import sys
import time
import warnings
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
from zoo.catalogue import build
from zoo.source import Labelled, Source

OPSET = 17  # the newest that every importer in this project reads
ARTIFACT_FOLDER = "artifact"
BATCH_NAME = "batch"
ALIKE = 1e-3  # outputs that vary less than this (relative, across samples) cannot tell a right answer from a wrong one
TOLERANCE = {"rel_l2": 1e-3, "cosine": 0.999}


def run(job: Mapping[str, Any], out_dir: str, events: Any) -> Dict[str, Any]:
    """The export job: what the result gets. Raises for an unknown name or a model that fails its own checks."""
    name, seed = str(job["model"]["name"]), int(job.get("seed", 0))
    folder = os.path.join(out_dir, ARTIFACT_FOLDER)
    began = time.perf_counter()
    import torch

    imported = time.perf_counter()
    events.emit("convert", note="exporting {}".format(name))
    about = export(name, seed, folder, job["model"].get("weights"))
    done = time.perf_counter()
    written = sum(os.path.getsize(os.path.join(folder, file)) for file in os.listdir(folder))
    return {
        "phases": {"import_ms": (imported - began) * 1e3, "convert_ms": (done - imported) * 1e3},
        "artifact": {"format": "onnx", "file": about["formats"]["onnx"], "bytes": written},
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()},
    }


def export(name: str, seed: int, folder: str, weights: Optional[str] = None) -> Dict[str, Any]:
    """Write the whole model below `folder`; returns what went into model.json. `weights`: a file with those to use."""
    # Depthwise convolutions in doubles are thousands of tiny parallel regions: threads that spin at their ends stall for a time
    # slice each where anything else runs (EfficientNet-lite4: minutes instead of seconds).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    torch.set_num_threads(max(1, len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else 1)
    os.makedirs(folder, exist_ok=True)
    source = build(name, seed, weights)
    np.savez(os.path.join(folder, "inputs.npz"), **source.inputs)
    _export_onnx(source, os.path.join(folder, "model.onnx"))
    _export_program(source, os.path.join(folder, "model.pt2"))
    # Last, because it turns the weights into doubles in place.
    parameters = sum(parameter.numel() for parameter in source.module.parameters())
    reference = reference_of(source)
    np.savez(os.path.join(folder, "reference.npz"), **reference)
    about = _about(source, reference, parameters)
    if source.labelled is not None:
        about["labelled"] = _save_labelled(source.labelled, folder)
    with open(os.path.join(folder, "model.json"), "w", encoding="utf-8") as file:
        json.dump(about, file, indent=1, sort_keys=True)
        file.write("\n")
    return about


def reference_of(source: Source) -> Dict[str, np.ndarray]:
    """Each output of all samples in double precision; refuses a model whose outputs do not depend on its input."""
    import torch

    module = source.module.double()
    rows: List[Tuple[Any, ...]] = []
    with torch.no_grad():
        for index in range(source.samples):  # one by one: the largest networks would need gigabytes for all
            feeds = [torch.from_numpy(v[index : index + 1].astype(np.float64) if v.dtype == np.float32 else v[index : index + 1])
                     for v in source.inputs.values()]
            found = module(*feeds)
            rows.append(found if isinstance(found, tuple) else (found,))
    reference = {name: torch.cat([row[place] for row in rows]).numpy() for place, name in enumerate(source.outputs)}
    for name, output in reference.items():
        variation = float(output.std(axis=0).mean() / np.abs(output).mean())
        if not np.isfinite(output).all() or variation < ALIKE:
            raise RuntimeError(f"{source.name}: {name} hardly depends on the input (relative variation {variation:.1e})")
    return reference


def _export_onnx(source: Source, path: str) -> None:
    """The legacy exporter, simplified: what most importers understand (the newer one needs opset 18 and up)."""
    import onnx
    import onnxslim
    import torch

    names = list(source.inputs)
    examples = _examples(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            source.module, examples, path, input_names=names, output_names=list(source.outputs), opset_version=OPSET,
            dynamo=False, dynamic_axes={tensor: {0: BATCH_NAME} for tensor in [*names, *source.outputs]},
        )
    slim = onnxslim.slim(onnx.load(path))
    onnx.checker.check_model(slim, full_check=True)
    onnx.save(slim, path)


def _export_program(source: Source, path: str) -> None:
    """torch.export from the model's own source, with a free batch."""
    import torch

    batch = torch.export.Dim(BATCH_NAME)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.export.export(
            source.module, _examples(source), strict=False, dynamic_shapes=tuple({0: batch} for _ in source.inputs))
        torch.export.save(program, path)


def _examples(source: Source) -> Tuple[Any, ...]:
    import torch

    # Two rows: an example of one row would be taken for a fixed batch.
    return tuple(torch.from_numpy(rows[:2].copy()) for rows in source.inputs.values())


def _about(source: Source, reference: Dict[str, np.ndarray], parameters: int) -> Dict[str, Any]:
    return {
        "name": source.name,
        "inputs": [_tensor(name, rows.dtype.name, rows.shape) for name, rows in source.inputs.items()],
        "outputs": [_tensor(name, "float32", rows.shape) for name, rows in reference.items()],
        "batchable": True, "samples": source.samples, "reference_source": "torch float64",
        "formats": {"onnx": "model.onnx", "pt2": "model.pt2"},
        "tolerance": TOLERANCE, "parameters": parameters, "notes": source.notes,
    }


def _save_labelled(labelled: Labelled, folder: str) -> Dict[str, Any]:
    """Writes the data set that accuracy is measured on; returns what model.json says of it."""
    np.savez(os.path.join(folder, "labelled.npz"), **labelled.inputs)
    np.savez(os.path.join(folder, "labels.npz"), labels=labelled.labels)
    return {"inputs": "labelled.npz", "labels": "labels.npz", "metric": "top1", "rows": len(labelled.labels)}


def _tensor(name: str, dtype: str, shape: Tuple[int, ...]) -> Dict[str, Any]:
    # numpy calls ONNX's float float32; the description of a model uses ONNX's names.
    spelled = {"float32": "float", "float64": "double"}.get(dtype, dtype)
    return {"name": name, "dtype": spelled, "shape": [BATCH_NAME, *shape[1:]]}


def main(arguments: List[str]) -> None:
    """`export_zoo.py NAME FOLDER [SEED [WEIGHTS]]`: an export by hand."""
    started = time.perf_counter()
    weights = arguments[3] if len(arguments) > 3 else None
    about = export(arguments[0], int(arguments[2]) if len(arguments) > 2 else 0, arguments[1], weights)
    print(json.dumps({"name": about["name"], "seconds": round(time.perf_counter() - started, 1)}))


if __name__ == "__main__":
    main(sys.argv[1:])
