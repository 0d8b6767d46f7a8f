"""What a model is: layers, parameters and cache, counted from its spec."""
