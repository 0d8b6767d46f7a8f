"""Public claims of the debate, recomputed."""
