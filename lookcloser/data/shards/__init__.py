"""Data sets in WebDataset shards: tar archives of images, each beside a JSON with its answer."""
