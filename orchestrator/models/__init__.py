"""From an ONNX file (or a built-in model's name) to a `PreparedModel`: inspected, with inputs and reference outputs."""
