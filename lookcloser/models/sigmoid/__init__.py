"""One sigmoid per label; see README.md."""

from lookcloser.models.sigmoid.model import Sigmoid

__all__ = ["Sigmoid"]
