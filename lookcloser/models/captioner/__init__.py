"""Captions by a recurrent network, plain or with soft attention; see README.md."""

from lookcloser.models.captioner.model import GRU, LSTM, RNN, Captioner

__all__ = ["GRU", "LSTM", "RNN", "Captioner"]
