"""Matrices of several runs or machines → one document. Nothing is estimated or compared anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.errors import ResultError
from orchestrator.merge.matrix import SCHEMA


def merge_matrices(matrices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One matrix from several; `run` is the first one's, with all of them in `run.merged`.

    Cells keep their ids; where two runs hold the same cell, each gets `@<run id>` behind it. Comparisons stay within
    their run: trials of different runs are not paired. Raises ResultError for another schema, no matrix at all, a run
    that is there twice, or one host name for different machines.
    """
    if not matrices:
        raise ResultError("there is no matrix to merge", hint="name at least one run directory")
    for matrix in matrices:
        if matrix.get("schema") != SCHEMA:
            raise ResultError(f"a matrix is of schema {str(matrix.get('schema'))[:60]!r}, not {SCHEMA!r}")
    if len(matrices) == 1:
        return dict(matrices[0])
    runs = [str(matrix["run"]["id"]) for matrix in matrices]
    twice = [run for run, times in Counter(runs).items() if times > 1]
    if twice:
        raise ResultError(f"the run {twice[0]!r} is there twice", hint="name each run directory once")
    seen = Counter(cell["id"] for matrix in matrices for cell in matrix["cells"])
    out: dict[str, Any] = {
        "schema": SCHEMA, "run": {**matrices[0]["run"], "merged": [dict(matrix["run"]) for matrix in matrices]},
        "hosts": _hosts(matrices), "images": _distinct(matrices, "images"), "models": _distinct(matrices, "models"),
        "excluded": _distinct(matrices, "excluded"),
        "settings": {name: found for matrix in matrices for name, found in matrix.get("settings", {}).items()},
        "cells": [], "comparisons": [], "warnings": [],
    }
    for run, matrix in zip(runs, matrices, strict=True):
        names = {cell["id"]: f"{cell['id']}@{run}" if seen[cell["id"]] > 1 else cell["id"] for cell in matrix["cells"]}
        states = {state["id"]: f"{state['id']}@{run}" for host in matrix["hosts"] for state in host["states"]}
        for cell in matrix["cells"]:
            out["cells"].append({
                **cell, "id": names[cell["id"]], "run": run, "state": states.get(cell["state"], cell["state"]),
                "tied_with": [names.get(other, other) for other in cell["tied_with"]],
            })
        for one in matrix["comparisons"]:
            out["comparisons"].append({
                **one, "a": names.get(one["a"], one["a"]), "b": names.get(one["b"], one["b"]), "run": run,
                "faster": names.get(one["faster"], one["faster"]), "state": states.get(one["state"], one["state"]),
            })
        out["warnings"] += [f"{run}: {warning}" for warning in matrix["warnings"]]
    return out


def _distinct(matrices: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    found: list[Any] = []
    for matrix in matrices:
        found += [item for item in matrix[name] if item not in found]
    return found


def _hosts(matrices: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each host once, with the states of all runs (named by run)."""
    hosts: dict[str, dict[str, Any]] = {}
    for matrix in matrices:
        for host in matrix["hosts"]:
            known = hosts.setdefault(str(host["name"]), {**host, "states": []})
            if known.get("fingerprint") != host.get("fingerprint"):
                raise ResultError(
                    f"the host name {host['name']!r} stands for two different machines (fingerprints "
                    f"{known.get('fingerprint')} and {host.get('fingerprint')})", hint="give each machine a name of its own")
            known["states"] += [{**state, "id": f"{state['id']}@{matrix['run']['id']}"} for state in host["states"]]
    return list(hosts.values())
