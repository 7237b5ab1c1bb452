"""Weights out of a file: a PyTorch state dict (read without executing what it holds) or safetensors."""
from __future__ import annotations

import os
from typing import Any, Callable, Dict, List, Mapping, Optional

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")  # under which training scripts put the weights
PREFIXES = ("module.", "_orig_mod.")  # what torch's own wrappers put before each name
MOST_NAMED = 5


def load_into(network: Any, path: str, rename: Callable[[str], Optional[str]]) -> List[str]:
    """Give `network` the weights of the file, all of them and no others; returns notes.

    ValueError, one sentence, where the file cannot be read or belongs to another network.
    """
    import torch

    wanted: Dict[str, Any] = dict(network.state_dict())
    given: Dict[str, Any] = {}
    unused: List[str] = []
    for name, value in _read(path).items():
        ours = rename(_bare(name))
        if ours in wanted:
            given[ours] = value
        elif ours is not None:
            unused.append(name)
    # Counters of batches seen play no part in inference, and older files have none.
    missing = [name for name in wanted if name not in given and not name.endswith("num_batches_tracked")]
    what = os.path.basename(path)
    if missing:
        raise ValueError(f"the weights in {what} are not this network's: {_some(missing)} missing"
                         + (f", {_some(unused)} unknown" if unused else ""))
    if unused:
        raise ValueError(f"the weights in {what} are not this network's: {_some(unused)} unknown")
    for name, value in given.items():
        if tuple(value.shape) != tuple(wanted[name].shape):
            raise ValueError(f"the weights in {what} are not this network's: {name} has shape {list(value.shape)}, "
                             f"not {list(wanted[name].shape)}")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ValueError(f"the weights in {what} hold NaN or infinity: {name}")
    network.load_state_dict({**wanted, **given})
    return [f"weights of the file {what}"]


def _read(path: str) -> Mapping[str, Any]:
    import torch

    what = os.path.basename(path)
    try:
        if path.endswith(".safetensors"):
            from safetensors.torch import load_file

            found: Any = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or foreign file provokes in either library
        words = str(error).strip().split("\n")[0][:200]
        raise ValueError(f"{what} holds no weights that can be read: {words}") from error
    for wrapper in WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
            found = found[wrapper]
            break
    if not isinstance(found, dict) or not found or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise ValueError(f"{what} holds no state dict: names of weights with a tensor each")
    return found


def _bare(name: str) -> str:
    for prefix in PREFIXES:
        if name.startswith(prefix):
            return _bare(name[len(prefix):])
    return name


def _some(names: List[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
