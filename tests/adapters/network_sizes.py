"""Run inside the models' environment: sizes of the built-in networks, counted by PyTorch on tensors without data. Prints JSON."""

import json
import sys

import torch
from torch.utils.flop_counter import FlopCounterMode

RUNNERS, SHAPES = sys.argv[1], json.loads(sys.argv[2])  # name -> [type, shape of one sample, how many inputs]
sys.path.insert(0, RUNNERS)

from torchvision_shim import declare_operators  # noqa: E402
from zoo.catalogue import MODULES, network  # noqa: E402
from zoo.vision import NETWORKS  # noqa: E402


def sizes(name, shape, kind, inputs):
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        module = network(name)
        outputs = module(*(torch.zeros(1, *shape, dtype=getattr(torch, kind)) for _ in range(inputs)))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    statistics = sum(b.numel() for key, b in module.named_buffers() if key.endswith(("running_mean", "running_var")))
    return {"parameters": sum(p.numel() for p in module.parameters()), "statistics": statistics,
            "multiply_adds": counter.get_total_flops() // 2, "outputs": [list(o.shape) for o in outputs]}


def torchvision_says():
    declare_operators()
    import torchvision.models as models

    return {name: {w.name: [w.url, w.meta["num_params"], w.meta["_ops"]] for w in models.get_model_weights(theirs)}
            for name, theirs in NETWORKS.items()}


found = {label: sizes(name, shape, kind, inputs) for label, (name, shape, kind, inputs) in SHAPES.items()}
print(json.dumps({"sizes": found, "torchvision": torchvision_says(), "names": list(MODULES)}))
