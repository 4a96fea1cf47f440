"""Class activation mapping; see README.md."""
