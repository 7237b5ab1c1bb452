"""ONNX Runtime whose outputs are off by half a percent: fast, and wrong."""
from adapters import onnxruntime as real


class Adapter(real.Adapter):
    def predict(self, inputs):
        return [output * 1.005 for output in super().predict(inputs)]
