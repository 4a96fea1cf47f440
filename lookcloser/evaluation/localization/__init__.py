"""How well maps find the true boxes."""
