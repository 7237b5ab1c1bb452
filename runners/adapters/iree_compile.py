"""ONNX → MLIR → IREE's module of machine code, in a process of its own: the measured one stays free of the compiler.

The job (child_compiler.py) has `flags`; what comes out is `module.vmfb`.
"""
from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any, Dict, List

from .child_compiler import Refused, main
from .static_onnx import inputs_of, load_pinned, operators_of, opset_of, outputs_of

OPSET = 17  # the newest that the importer's conversions were made for; older files are raised to it
MODULE = "module.vmfb"


def compile_model(job: Dict[str, Any]) -> Dict[str, Any]:
    """Import and compile; returns the names and types of inputs and outputs in the function's order."""
    import onnx
    from iree.compiler.tools.binaries import find_tool

    model = load_pinned(job["path"], job["names"], job["shapes"])
    foreign = [kind for kind in operators_of(model) if "::" in kind]
    if foreign:
        raise Refused(f"operator {foreign[0]} is none of ONNX's own")
    folder = job["folder"]
    source, mlir = os.path.join(folder, "model.onnx"), os.path.join(folder, "model.mlir")
    try:
        onnx.save(model, source)
    except ValueError as error:  # protobuf's limit of 2 GB
        raise Refused("the importer reads models of up to 2 GB in one file") from error
    raise_opset = ["--opset-version", str(OPSET)] if opset_of(model) < OPSET else []
    _run([sys.executable, "-m", "iree.compiler.tools.import_onnx", source, *raise_opset, "-o", mlir], "importer")
    os.remove(source)
    _run([find_tool("iree-compile"), mlir, *job["flags"], "-o", os.path.join(folder, MODULE)], "compiler")
    os.remove(mlir)
    return {"inputs": [tensor.name for tensor in inputs_of(model)], "outputs": [
        {"name": tensor.name, "dtype": tensor.dtype} for tensor in outputs_of(model)]}


def _run(command: List[str], what: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
    log = done.stdout.decode(errors="replace")
    if done.returncode < 0:
        sys.stderr.write(log[-4000:])
        raise RuntimeError(f"IREE's {what} was ended by signal {-done.returncode}")
    if done.returncode:
        raise Refused(explained(log, what))


def explained(log: str, what: str) -> str:
    """One sentence out of what a tool printed."""
    missing = re.search(r"failed to legalize operation 'torch\.operator'.*?\n.*?\"onnx\.(\w+)\"", log)
    if missing is None:
        missing = re.search(r"failed to legalize.*?onnx\.(\w+)", log)
    if missing:
        return f"IREE's compiler has no way to lower the operator {missing.group(1)} as this model uses it"
    lines = [line.strip() for line in log.splitlines() if "error:" in line] or [
        line.strip() for line in log.splitlines() if line.strip()]
    first = re.sub(r"^\S+:\d+:\d+: ", "", lines[0] if "error:" in (lines or [""])[0] else (lines or ["it printed nothing"])[-1])
    return f"IREE's {what} refuses the model: {first[:300]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], compile_model))
