"""Constants fitted to measured rows: GPUs, accelerators of other kinds, power; what they write."""
