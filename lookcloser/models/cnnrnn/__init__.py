"""Tags as a path through a recurrent network; see README.md."""

from lookcloser.models.cnnrnn.model import CNNRNN

__all__ = ["CNNRNN"]
