"""ONNX Runtime as it is: only its base is another."""
from adapters.onnxruntime import Adapter as Adapter
