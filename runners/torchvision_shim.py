"""Makes `import torchvision` work beside a CPU torch."""


def declare_operators() -> None:
    """Call before anything imports torchvision.

    The wheel on the public registry is linked against CUDA; beside a CPU torch its compiled operators do not load, and
    its import stops at a missing schema. Declaring the schemas is enough for everything that is not detection.
    """
    import torch

    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            torch.library.define(f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
