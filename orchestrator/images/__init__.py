"""Environments: locks → wheels → build contexts → images or virtual environments."""
