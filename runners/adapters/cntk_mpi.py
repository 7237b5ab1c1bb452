"""A stand-in for Open MPI 1.10, which CNTK is linked against and calls in distributed training only.

No package of any registry brings that version, and newer ones have other names. Where the loader finds it, it is used; else a
library that has its names is compiled. Whatever of it were called would end the process with a message.
"""
import ctypes
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from typing import Any, List, Tuple

from .base import Unsupported

LIBRARIES = ("libmpi.so.12", "libmpi_cxx.so.1")
COMPILERS = ("gcc", "cc", "clang")
# What must have an address when CNTK's libraries are loaded, and the functions that it begins with; all others of MPI are
# looked for when they are called, and the loader then ends the process with their name.
DATA = ("char", "comm_null", "comm_world", "double", "float", "int", "long_long_int", "op_sum")
FUNCTIONS = (
    "MPI_Abort", "MPI_Finalize", "MPI_Init_thread", "MPI_Initialized", "_ZN3MPI3Win4FreeEv", "_ZN3MPI4CommC2Ev",
    "_ZN3MPI8Datatype4FreeEv", "ompi_mpi_cxx_op_intercept", "ompi_op_set_cxx_callback",
)


def import_with_mpi(name: str) -> Tuple[Any, str]:
    """The module, and what it found for MPI: "Open MPI" or "stand-in".

    Raises:
        Unsupported: they are not there, and neither is a compiler.
    """
    try:
        for library in LIBRARIES:
            ctypes.CDLL(library, ctypes.RTLD_GLOBAL)
    except OSError:
        _compile_and_load()
    else:
        return importlib.import_module(name), "Open MPI"
    flags = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_LAZY)
    try:
        return importlib.import_module(name), "stand-in"
    finally:
        sys.setdlopenflags(flags)


def source() -> str:
    """The stand-in in C: data that has an address, and functions that end the process."""
    lines = ["#include <stdio.h>", "#include <stdlib.h>"]
    lines += ["char ompi_mpi_{}[4096];".format(name) for name in DATA]
    lines += ["static void stop(const char *name) {",
              '    fprintf(stderr, "CNTK called %s, and there is no MPI here\\n", name);', "    abort();", "}"]
    lines += ['void {0}(void) {{ stop("{0}"); }}'.format(name) for name in FUNCTIONS]
    return "\n".join(lines) + "\n"


def _compile_and_load() -> None:
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise Unsupported("CNTK needs {} of Open MPI 1.10, or a C compiler for a stand-in (apt-get install gcc)".format(
            " and ".join(LIBRARIES)))
    with tempfile.TemporaryDirectory(prefix="infermatrix-mpi-") as folder:
        code = os.path.join(folder, "mpi.c")
        for name in LIBRARIES:
            with open(code, "w", encoding="utf-8") as file:
                file.write(source() if name == LIBRARIES[0] else "")
            made = os.path.join(folder, name)
            _run([compiler, "-shared", "-fPIC", "-w", "-Wl,-soname," + name, "-o", made, code])
            ctypes.CDLL(made, ctypes.RTLD_GLOBAL)  # what is loaded stays known by its soname, with or without its file


def _run(command: List[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, check=False)
    if done.returncode != 0:
        raise RuntimeError("the stand-in for Open MPI was not compiled: {}".format(done.stdout.strip()[-300:]))
