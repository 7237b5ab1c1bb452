"""From what the user wrote (YAML, command line) to a `MatrixConfig`; every error names file and line."""
