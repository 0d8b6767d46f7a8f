"""This machine: probes, real decoding, its spec file, and the results of other tools brought to measured
rows.

Rooms in the order that data flows: `load` and `statistics` (how a time is taken), `machine` and `energy`
(what is measured), `backends`, `bandwidth`, `matmul` and `collective` (kernels), `decoder_numpy`,
`decoder_torch`, `synthetic` and `llamacpp` (engines), `fit` and `predict` (constants from probes, times
from constants), `localspec` (the file), `check` (predicted against measured), `session` (all of it in
order), `importers` (other tools).
"""
