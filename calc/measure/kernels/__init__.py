"""Rates of this machine: bandwidth, matrix products, collectives, energy, and their statistics."""
