"""Turn a PyTorch model into an artifact that gives the same answers."""
