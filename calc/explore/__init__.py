"""Many questions at once: comparisons, sweeps, plans, atlases, fleets, sensitivities, memory generations."""
