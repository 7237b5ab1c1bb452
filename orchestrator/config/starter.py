"""The commented matrix.yaml that `infermatrix init` writes: it loads as it stands and explains itself."""

from __future__ import annotations

STARTER = """\
# What to measure: every model on every backend, in every combination of the axes below.
#   infermatrix plan      shows the cells, what is left out and why, and about how long it takes
#   infermatrix run       measures; the same command again does only what is missing
# Any value can be changed for once:  infermatrix run --set threads=1,2 --set profile=standard --only backend=onnxruntime

name: my-matrix

# How long and how often: quick (5 fresh processes per cell, 0.35 s each), standard (7, 3 s) or official (20, 60 s).
# To change one value:  profile: {extends: quick, trials: 7, min_duration_s: 1.0}
# Trials that the machine disturbed are left out and repeated, `max_retries` times at most; with `enough: 3` only while
# fewer than 3 others count.
profile: quick

# How each backend's packages are kept apart: docker, venv (one virtual environment each) or interpreter (Pythons you name);
# auto takes docker where an engine answers, else venv.
isolation: auto
# interpreters: {torch: /opt/conda/bin/python}   # only for interpreter isolation: label or backend -> its Python
# base: {image: python:3.11-slim-bookworm}       # what images start from; or {bootstrap: bookworm}: from Debian packages

seed: 1                # of inputs and of the order of trials
# budget: 10m   # of all trials: after those of the profile, more where the ranking is open, until it is settled
minimum_effect: 0.02   # smaller differences are ties: here 2 %

# Built-in models by name; your own as a path, or with what the file leaves open.
models:
  - spam               # a small dense network
  - mobilenet_v2
  # - ./my-model.onnx
  # - {name: trained, builtin: resnet50, weights: resnet50.pth}    # or a hub's name: "torchvision:IMAGENET1K_V2", "hf:OWNER/REPO"
  # - {name: mine, path: ./my-model.onnx, shapes: {input: [1, 3, 224, 224]}, inputs: samples.npz, tolerance: {rel_l2: 1.0e-3}}

# A backend may be listed several times, each time under a label of its own, with other settings or another version.
# `infermatrix backends` lists them with their settings.
backends:
  - onnxruntime
  - openvino
  # - {label: ort-basic, backend: onnxruntime, settings: {graph_optimization_level: basic}}
  # A row may sweep its own settings: {backend: openvino, ablate: all}, or ablate: {num_streams: [1, 2]}.
  # - {label: ort-before, backend: onnxruntime, version: 1.30.0}

devices: [cpu]         # a row may have its own: {backend: torch_cuda, devices: [cuda]}
precision: [fp32]
threads: [all]         # numbers, or all: every core the run may use
batch: [1, 8]          # samples per inference; single_stream always has 1
scenarios: [single_stream, offline]   # latency of one sample at a time; throughput of batches

# As in GitHub Actions: a combination goes when it agrees with every key of an entry (label, backend, model, device,
# precision, threads, batch, scenario); then an include extends the combinations it agrees with, or adds one.
exclude:
  # - {backend: openvino, model: mobilenet_v2}
include:
  # - {backend: onnxruntime, model: spam, scenario: offline, batch: 64}

# limits: {memory_mb: 4096, cpus: [0, 1]}   # what every trial gets; default: all cores of this process, 80 % of memory
"""
