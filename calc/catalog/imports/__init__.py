"""Files of other tools read as model specs: Hugging Face config.json and GGUF."""
