"""What a chip gives and costs for running a language model."""
