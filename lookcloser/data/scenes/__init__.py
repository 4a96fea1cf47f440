"""The embedded data set: handwritten digits composed into scenes, written as ordinary files."""

from lookcloser.data.scenes.write import write_scenes

__all__ = ["write_scenes"]
