"""Captions by a recurrent network, plain or with soft attention; see README.md."""
