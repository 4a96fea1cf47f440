"""The models that are served: found, loaded, asked in batches, replaced."""
