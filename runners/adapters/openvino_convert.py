"""ONNX → OpenVINO IR in int8, by NNCF's post-training quantisation; runs in the converter's environment (openvino, nncf)."""
from __future__ import annotations

import os

from .base import ConvertParams, Unsupported

FILE = "model.xml"


def convert(path: str, out_dir: str, params: ConvertParams) -> str:
    """Returns the name of the .xml file below `out_dir`; the weights lie beside it.

    Raises:
        Unsupported: another precision, or a model in which nothing can be quantised.
    """
    if params.precision != "int8":
        raise Unsupported(f"OpenVINO makes {params.precision} while it compiles, not by a conversion")
    os.environ["NNCF_CI"] = "1"  # it reports its use over the network otherwise
    import nncf
    import openvino
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    rows = params.feeds()
    made = nncf.quantize(
        openvino.Core().read_model(path), nncf.Dataset(rows), subset_size=len(rows),
        # Asymmetric where activations are: the vendor's preset for networks that have other ones than ReLU.
        preset=nncf.QuantizationPreset.MIXED,
        # The whole range that was seen. The default averages the samples' extremes, and cuts off what lies beyond: with
        # the few samples at hand that costs a tenth of the answer.
        advanced_parameters=AdvancedQuantizationParameters(
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX))
    if not any(op.get_type_name() == "FakeQuantize" for op in made.get_ordered_ops()):
        raise Unsupported("the model holds no operator that NNCF quantises")
    openvino.save_model(made, os.path.join(out_dir, FILE), compress_to_fp16=False)
    return FILE

