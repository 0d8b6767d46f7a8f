"""This machine: probes, real decoding, its spec file; and the results of other tools brought to measured rows.

As data flows: `kernels` and `decoders` (what runs), `fit` and `predict` (constants from probes, times from constants),
`session` (all of it in order), `localspec` (the file), `compare` (two runs); beside them `imports` (other tools).
"""
