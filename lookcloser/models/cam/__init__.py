"""Class activation mapping; see README.md."""

from lookcloser.models.cam.model import CAM

__all__ = ["CAM"]
