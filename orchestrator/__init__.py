"""Infermatrix: which inference backend to deploy on which hardware, with which settings.

Glossary (the words of code, CLI, JSON and docs):

backend      an inference engine at a version, with one adapter
settings     a backend's own switches
model        a network with its canonical ONNX file, its inputs and its reference outputs
host         a machine that runs trials
device       `cpu`, or a GPU of a host (by UUID in records)
isolation    how dependencies are kept apart: `docker`, `venv` or `interpreter`
scenario     the load pattern of a measurement
cell         one point of the matrix
trial        one fresh, isolated process that loads one model once and measures the cells that share its load
record       the JSON of one trial of one cell
matrix       all records of a run merged: per cell an estimate with its interval, or a status that says why not
run          one invocation over a matrix, with an id; never a synonym for cell or trial
"""

__version__ = "0.1.0"
