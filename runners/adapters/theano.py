"""Theano, which reads no ONNX: a symbolic chain with the weights of the ONNX file (`dense_chain.py`), compiled as C by g++."""
from __future__ import annotations

import importlib
import os
import shutil
from typing import Any, Dict, List

import numpy as np

from .base import Adapter as BaseAdapter
from .base import CacheUse, Evidence, Feeds, Params, Unsupported
from .blas_threads import loaded_openblas, threads_of
from .dense_chain import Kind, load

MODES = ("FAST_RUN", "FAST_COMPILE")
COMPILERS = ("g++", "none")
BLAS = ("openblas", "numpy")
PRODUCTS = ("Dot22", "Gemm", "Gemv", "dot")  # operators that have no C without a BLAS to link, and then call numpy from Python
FOLDER = "theano"  # below the cache's: what is compiled
LIBRARIES = "theano-blas"  # and links to numpy's own BLAS


def environment(params: Params) -> Dict[str, str]:
    """Theano is configured while it is imported; the user's own ~/.theanorc is not read."""
    settings = params.settings
    cache = str(params.cache_dir)
    cxx = "" if settings.get("cxx") == "none" else "g++"
    flags = {
        "device": "cpu", "floatX": "float32", "base_compiledir": os.path.join(cache, FOLDER),
        "cxx": cxx,
        "openmp": str(bool(settings.get("openmp", False))),
        "openmp_elemwise_minsize": str(int(settings.get("openmp_elemwise_minsize", 200_000))),
        "allow_gc": str(bool(settings.get("allow_gc", True))),
        # Given in any case: to guess it, Theano would compile and run programs.
        "blas.ldflags": "" if settings.get("blas") == "numpy" or not cxx else _openblas_flags(os.path.join(cache, LIBRARIES)),
    }
    return {"THEANORC": os.devnull, "THEANO_FLAGS": ",".join(f"{name}={value}" for name, value in flags.items())}


def _openblas_flags(folder: str) -> str:
    """Linker flags for the OpenBLAS that came with numpy, by a link whose name a linker looks for."""
    brought = os.path.join(os.path.dirname(os.path.dirname(np.__file__)), "numpy.libs")
    names = sorted(os.listdir(brought)) if os.path.isdir(brought) else []
    found = [name for name in names if "openblas" in name]
    if not found:
        raise Unsupported("blas: openblas links the library that numpy brings, and this numpy brings none")
    os.makedirs(folder, exist_ok=True)
    for name, link in [(found[0], "libopenblas.so"), *((name, name) for name in names)]:
        if not os.path.lexists(os.path.join(folder, link)):
            os.symlink(os.path.join(brought, name), os.path.join(folder, link))
    return f"-L{folder} -lopenblas"


class Adapter(BaseAdapter):
    """One function; the weights are shared variables."""

    def __init__(self) -> None:
        self._theano: Any = importlib.import_module("theano")

    def load(self, path: str, params: Params) -> None:
        """Builds the expression; nothing is compiled yet."""
        if params.precision != "fp32":
            raise Unsupported(f"Theano runs fp32 here, not {params.precision}")
        if params.device != "cpu":
            raise Unsupported("Theano runs on the CPU here")
        self._mode = _one_of(params, "mode", MODES)
        self._cxx = _one_of(params, "cxx", COMPILERS)
        self._blas = _one_of(params, "blas", BLAS)
        if self._cxx != "none" and (not self._theano.config.cxx or shutil.which("g++") is None):
            raise Unsupported("Theano compiles its operators with g++, which is not here; without it they run in Python "
                              "(setting cxx: none)")
        self._params, self._chain = params, load(path)
        tensor = importlib.import_module("theano.tensor")
        self._input = value = tensor.TensorType("float32", (False,) * self._chain.rank)(self._chain.input)
        functions = {Kind.RELU: tensor.nnet.relu, Kind.SIGMOID: tensor.nnet.sigmoid, Kind.TANH: tensor.tanh,
                     Kind.SOFTMAX: tensor.nnet.softmax, Kind.FLATTEN: lambda one: tensor.flatten(one, 2)}
        for layer in self._chain.layers:
            if layer.kind is Kind.DENSE:
                value = tensor.dot(value, self._theano.shared(layer.weight, borrow=True))
                value = value if layer.bias is None else value + self._theano.shared(layer.bias, borrow=True)
            else:
                value = functions[layer.kind](value)
        self._output = value

    def compile(self, example: Feeds) -> bool:
        """Rewrites the expression and has g++ compile its operators, one library each."""
        del example
        self._function = self._theano.function([self._input], [self._output], mode=self._mode)
        self._function.trust_input = bool(self._params.settings.get("trust_input", False))
        return True

    def predict(self, inputs: Feeds) -> List[np.ndarray]:
        """A whole batch."""
        return [np.asarray(self._function(inputs[self._chain.input])[0])]

    def evidence(self) -> Evidence:
        """Every operator of the compiled function, and whether it is C or Python."""
        machine = self._function.fn
        compiled: Dict[str, int] = {}
        python: Dict[str, int] = {}
        for node, thunk in zip(machine.nodes, machine.thunks):  # noqa: B905 - `strict` is of Python 3.10
            counts = compiled if hasattr(thunk, "cthunk") else python
            name = str(node.op)[:60]
            counts[name] = counts.get(name, 0) + 1
        config, libraries = self._theano.config, loaded_openblas()
        return Evidence(
            device="cpu", executed_on=(["Theano C"] if compiled else []) + (["Theano Python"] if python else []),
            fallback=self._strayed(python, str(self._output.dtype)), batching="native" if self._params.batchable else "fixed",
            detail={"threads": threads_of("numpy", libraries), "threads_asked": self._params.threads, "blas": libraries,
                    "operators_in_c": compiled, "operators_in_python": python, "mode": self._mode,
                    "linker": type(machine).__name__, "cxx": config.cxx, "openmp": bool(config.openmp),
                    "openmp_elemwise_minsize": config.openmp_elemwise_minsize, "blas_ldflags": config.blas.ldflags,
                    "allow_gc": bool(config.allow_gc), "trust_input": bool(self._function.trust_input)},
            cache=self._cache_use(),
        )

    def _strayed(self, python: Dict[str, int], dtype: str) -> Any:
        """Python where C was asked for is not what was asked for; FAST_COMPILE asks for Python."""
        if dtype != "float32":
            return f"asked for fp32, the result is {dtype}"
        strayed = [name for name in sorted(python) if not (self._blas == "numpy" and name.startswith(PRODUCTS))]
        if strayed and self._cxx != "none" and self._mode == "FAST_RUN":
            return f"operators {', '.join(strayed)} run in Python, not in C"
        if bool(self._params.settings.get("openmp", False)) != bool(self._theano.config.openmp):
            return "openmp was asked for, and Theano switched it off"
        return None

    def _cache_use(self) -> Any:
        if not self._params.keep_cache:
            return None
        if self._cxx == "none":
            return CacheUse(kind="none", note="without C there is nothing to keep")
        again, loaded, made = importlib.import_module("theano.gof.cc").get_module_cache().stats
        return CacheUse(kind="C modules", hit=made == 0 and loaded > 0,
                        detail={"loaded": loaded, "again": again, "compiled": made},
                        note="Theano does not find all that it kept: every process compiles some operators (Dot22 …) anew")

    def versions(self) -> Dict[str, str]:
        """theano and numpy."""
        return {"theano": self._theano.__version__, "numpy": np.__version__}


def _one_of(params: Params, name: str, known: Any) -> str:
    value = str(params.settings.get(name) or known[0])
    if value not in known:
        raise Unsupported(f"{name} is one of {', '.join(known)}, not {value!r}")
    return value
