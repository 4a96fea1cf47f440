"""Training with Lightning, the only folder that knows it. Importing this loads no torch."""

from lookcloser.training.options import TrainOptions

__all__ = ["TrainOptions"]
