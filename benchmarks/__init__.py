"""Experiments on the program itself; each is a command, and `docs/figures.md` says what came of it."""
