"""AOTInductor: the program compiled ahead of time into a library, one for each shape, which runs without Dynamo or Python.

https://docs.pytorch.org/docs/stable/torch.compiler_aot_inductor.html
"""
from __future__ import annotations

import hashlib
import json
import os
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Set

from .base import CacheUse, Params, Unsupported
from .kept_key import kept_key
from .torch_cache import mapped

KIND = "AOTInductor packages"


class Program(NamedTuple):
    """What is compiled, and what the evidence says of it."""

    module: Any
    about: Dict[str, Any]  # goes into JSON, and stays beside the package: who takes a package never loads the program


class AheadOfTime:
    """The libraries of one program, made here or taken from what an earlier process left in `params.cache_dir`.

    `load`: gives the program, and is called only where something is to be compiled. `versions`: of all that compiles.
    `configs`: of inductor, beside freezing.
    """

    def __init__(self, load: Callable[[], Program], path: str, params: Params, versions: Mapping[str, str],
                 configs: Mapping[str, Any]) -> None:
        self._load = load
        self._program: Optional[Program] = None
        self._params = params
        self._configs = configs
        self._freezing = bool(params.settings.get("freezing", True))
        self._folder = os.path.join(str(params.cache_dir), "aot")
        self._key = kept_key(path, params, versions)
        self.about: Dict[str, Any] = {}  # of the program, once there is a library
        self.libraries: List[str] = []  # that loading the packages mapped, in the order of their first use
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
            if self._params.keep_cache and os.path.exists(package) and os.path.exists(_beside(package)):
                self._taken += 1
            else:
                self._compile(tensors, package)
                self._made += 1
            with open(_beside(package), encoding="utf-8") as file:
                self.about = json.load(file)
            before = _libraries()
            self._loaded[shapes] = aoti_load_package(package)
            self.libraries += sorted(_libraries() - before)
        return self._loaded[shapes]

    def _compile(self, tensors: List[Any], package: str) -> None:
        os.makedirs(self._folder, exist_ok=True)
        import torch._inductor.config
        from torch._inductor import aoti_compile_and_package

        torch._inductor.config.compile_threads = 1  # else a pool of processes outlives the compilation
        if self._program is None:
            self._program = self._load()
        with torch.no_grad():
            try:
                program = torch.export.export(self._program.module, tuple(tensors), strict=False)
            except Exception as error:
                raise Unsupported(f"torch.export cannot fix its shapes: {' '.join(str(error).split())[:300]}") from error
            new = f"{package[:-len('.pt2')]}.{os.getpid()}.pt2"
            aoti_compile_and_package(program, package_path=new, inductor_configs={"freezing": self._freezing, **self._configs})
        with open(_beside(new), "w", encoding="utf-8") as file:
            json.dump(self._program.about, file)
        os.replace(_beside(new), _beside(package))
        os.replace(new, package)

    def evidence(self) -> Dict[str, Any]:
        """Freezing as it was asked for, and the libraries that its packages brought."""
        return {"freezing": self._freezing, "packages": len(self._loaded), "libraries_mapped": len(self.libraries)}

    def fallback(self) -> Optional[str]:
        """Why what ran was no library; None where each package brought one."""
        return None if len(self.libraries) >= len(self._loaded) > 0 else "no library of a package is mapped into the process"

    def use(self) -> CacheUse:
        """For the evidence, where a cache was to be kept."""
        return CacheUse(kind=KIND, hit=self._taken > 0 and self._made == 0,
                        detail={"from_cache": self._taken, "compiled": self._made})


def _beside(package: str) -> str:
    return package[:-len(".pt2")] + ".json"


def _libraries() -> Set[str]:
    """Files of packages that are mapped; PyTorch unpacks them below the folder for temporary files, each time anew."""
    return {path for path in mapped() if "aotinductor" in path and path.endswith(".so")}
