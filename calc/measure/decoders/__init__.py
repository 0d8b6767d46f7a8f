"""Language models that run on this machine to be measured: NumPy, PyTorch, llama.cpp."""
