"""Recurrent attention CNN; see README.md."""
