"""`infermatrix conformance`: the ONNX project's own backend tests, run by every backend in its own environment."""
