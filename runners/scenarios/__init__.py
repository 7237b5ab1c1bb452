"""A trial for every load pattern that is not one call after the other in one process."""
