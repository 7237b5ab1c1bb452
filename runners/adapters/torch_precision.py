"""A loaded program in fewer bits: weights and inputs in bfloat16 or float16, or fully connected layers in int8.

int8 is what PyTorch itself calls dynamic quantisation: weights by channel beforehand, activations by their range in every
inference, and of all operators only the fully connected one. PyTorch's own entry point replaces modules, which an
exported program has no more; here the same kernels take the place of its `linear` operators.
"""
from __future__ import annotations

from typing import Any, Dict, List

import torch

from .base import Unsupported

WIDTHS: Dict[str, Any] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def narrow(module: Any, dtype: Any) -> None:
    """Weights, and in a torch.fx program the types that it names itself, become `dtype`."""
    module.to(dtype)
    if not isinstance(module, torch.fx.GraphModule):
        return
    for node in module.graph.nodes:
        node.args = torch.fx.node.map_aggregate(node.args, lambda value: dtype if value is torch.float32 else value)
        node.kwargs = torch.fx.node.map_aggregate(node.kwargs, lambda value: dtype if value is torch.float32 else value)
    module.recompile()


def quantise(module: Any) -> int:
    """Puts int8 kernels in place of the fully connected layers of a torch.fx program; returns how many.

    Raises:
        Unsupported: a TorchScript file, or a program in which there is nothing to quantise.
    """
    if not isinstance(module, torch.fx.GraphModule):
        raise Unsupported("this model could only be converted to TorchScript, whose layers are not quantised here")
    graph, count = module.graph, 0
    for node in list(graph.nodes):
        if node.op != "call_function" or node.target is not torch.ops.aten.linear.default:
            continue
        weight, bias = node.args[1], node.args[2] if len(node.args) > 2 else None
        if weight.op != "get_attr" or (bias is not None and bias.op != "get_attr"):
            continue  # computed while it runs: nothing to quantise beforehand
        name = f"quantised_{count}"
        module.add_submodule(name, _int8(_attribute(module, weight.target), bias and _attribute(module, bias.target)))
        with graph.inserting_before(node):
            node.replace_all_uses_with(graph.call_module(name, (node.args[0],)))
        graph.erase_node(node)
        count += 1
    if count == 0:
        raise Unsupported("PyTorch quantises fully connected layers only here, and the model has none")
    graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()
    return count


def _int8(weight: Any, bias: Any) -> Any:
    from torch.ao.nn.quantized import dynamic
    from torch.ao.quantization import per_channel_dynamic_qconfig

    plain = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    with torch.no_grad():
        plain.weight.copy_(weight)
        if bias is not None:
            plain.bias.copy_(bias)
    plain.qconfig = per_channel_dynamic_qconfig
    return dynamic.Linear.from_float(plain)


def _attribute(module: Any, path: str) -> Any:
    for part in path.split("."):
        module = getattr(module, part)
    return module


def cast(tensors: List[Any], dtype: Any) -> List[Any]:
    """Floating-point tensors in `dtype`; the others as they are."""
    return [tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in tensors]


def widths(module: Any) -> Dict[str, int]:
    """How many numbers the program holds in each type."""
    counts: Dict[str, int] = {}
    for tensor in (*module.parameters(), *module.buffers()):
        kind = str(tensor.dtype).replace("torch.", "")
        counts[kind] = counts.get(kind, 0) + tensor.numel()
    return counts
