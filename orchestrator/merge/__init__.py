"""Records of trials → the matrix: estimates with intervals, machine states, paired comparisons. No I/O."""
