"""From a `MatrixConfig` to cells, trials, their order and an estimate of time; pure, no I/O."""
