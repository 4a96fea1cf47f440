"""The attention feedback network; see README.md."""
