"""What the converter writes beside a TorchScript module and the adapter reads."""

ABOUT = "infermatrix.json"  # inside the artifact: {"batch": the fixed batch size, or null}
