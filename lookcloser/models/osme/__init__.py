"""OSME with the MAMC loss; see README.md."""
