"""AOTInductor: the program compiled ahead of time into a library, one for each shape, which runs without Dynamo or Python.

https://docs.pytorch.org/docs/stable/torch.compiler_aot_inductor.html
"""
from __future__ import annotations

import hashlib
import os
from typing import Any, Dict, List, Optional

import torch

from .base import CacheUse, Params, Unsupported
from .kept_key import kept_key
from .torch_cache import mapped

KIND = "AOTInductor packages"


class AheadOfTime:
    """The libraries of one program, made here or taken from what an earlier process left in `params.cache_dir`."""

    def __init__(self, module: Any, path: str, params: Params) -> None:
        self._module = module
        self._params = params
        self._freezing = bool(params.settings.get("freezing", True))
        self._folder = os.path.join(str(params.cache_dir), "aot")
        self._key = kept_key(path, params, {"torch": torch.__version__})
        self._loaded: Dict[Any, Any] = {}
        self._made = self._taken = 0
        # Loading asks too: which instructions there are is found out by compiling, once for each such folder.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = os.path.join(str(params.cache_dir), "inductor")

    def of(self, tensors: List[Any]) -> Any:
        """What runs inputs of these shapes; compiled now if need be.

        Raises:
            Unsupported: torch.export cannot follow the program.
        """
        shapes = tuple(tuple(tensor.shape) for tensor in tensors)
        if shapes not in self._loaded:
            from torch._inductor import aoti_load_package

            package = os.path.join(self._folder, hashlib.sha256(repr((self._key, shapes)).encode()).hexdigest()[:24] + ".pt2")
            if self._params.keep_cache and os.path.exists(package):
                self._taken += 1
            else:
                self._compile(tensors, package)
                self._made += 1
            self._loaded[shapes] = aoti_load_package(package)
        return self._loaded[shapes]

    def _compile(self, tensors: List[Any], package: str) -> None:
        os.makedirs(self._folder, exist_ok=True)
        import torch._inductor.config
        from torch._inductor import aoti_compile_and_package

        torch._inductor.config.compile_threads = 1  # else a pool of processes outlives the compilation
        with torch.no_grad():
            try:
                program = torch.export.export(self._module, tuple(tensors), strict=False)
            except Exception as error:
                raise Unsupported(f"torch.export cannot fix its shapes: {' '.join(str(error).split())[:300]}") from error
            new = package[:-len(".pt2")] + ".new.pt2"
            aoti_compile_and_package(program, package_path=new, inductor_configs={"freezing": self._freezing})
        os.replace(new, package)

    def evidence(self) -> Dict[str, Any]:
        """Freezing as it was asked for, and the libraries of packages that this process has mapped."""
        return {"freezing": self._freezing, "packages": len(self._loaded), "libraries_mapped": len(_libraries())}

    def fallback(self) -> Optional[str]:
        """Why what ran was no library; None where it was one."""
        return None if _libraries() else "no library of a package is mapped into the process"

    def use(self) -> CacheUse:
        """For the evidence, where a cache was to be kept."""
        return CacheUse(kind=KIND, hit=self._taken > 0 and self._made == 0,
                        detail={"from_cache": self._taken, "compiled": self._made})


def _libraries() -> List[str]:
    """Files of packages that are mapped; PyTorch unpacks them below the folder for temporary files."""
    return sorted(path for path in mapped() if "aotinductor" in path and ".so" in path)
