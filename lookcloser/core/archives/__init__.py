"""Images inside tar archives: found by their place in the file, never unpacked."""

from lookcloser.core.archives.packed import Packed

__all__ = ["Packed"]
