"""OSME with the MAMC loss; see README.md."""

from lookcloser.models.osme.model import OSMENet

__all__ = ["OSMENet"]
