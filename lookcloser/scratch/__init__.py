"""Recurrent layers with hand-written backward passes, in NumPy only.

They explain the PyTorch cells of `lookcloser.layers` and verify them. Every layer is a pair:
``*_forward`` returns its result and a cache, ``*_backward`` takes the gradient of the result and
the cache and returns the gradients of the arguments, in the order of the arguments. Results and
gradients have the arguments' dtype.
"""

from lookcloser.scratch.affine import (
    affine_backward,
    affine_forward,
    temporal_affine_backward,
    temporal_affine_forward,
)
from lookcloser.scratch.captioning import CaptioningRNN
from lookcloser.scratch.cnnrnn import (
    cnnrnn_backward,
    cnnrnn_forward,
    cnnrnn_step_backward,
    cnnrnn_step_forward,
)
from lookcloser.scratch.embedding import word_embedding_backward, word_embedding_forward
from lookcloser.scratch.gradient_check import check_gradients, numeric_gradient, relative_error
from lookcloser.scratch.gru import gru_backward, gru_forward, gru_step_backward, gru_step_forward
from lookcloser.scratch.loss import temporal_softmax_loss
from lookcloser.scratch.lstm import (
    lstm_backward,
    lstm_forward,
    lstm_step_backward,
    lstm_step_forward,
)
from lookcloser.scratch.rnn import rnn_backward, rnn_forward, rnn_step_backward, rnn_step_forward
from lookcloser.scratch.solver import History, Solver
from lookcloser.scratch.update_rules import adam, rmsprop, sgd, sgd_momentum

__all__ = [
    "CaptioningRNN",
    "History",
    "Solver",
    "adam",
    "affine_backward",
    "affine_forward",
    "check_gradients",
    "cnnrnn_backward",
    "cnnrnn_forward",
    "cnnrnn_step_backward",
    "cnnrnn_step_forward",
    "gru_backward",
    "gru_forward",
    "gru_step_backward",
    "gru_step_forward",
    "lstm_backward",
    "lstm_forward",
    "lstm_step_backward",
    "lstm_step_forward",
    "numeric_gradient",
    "relative_error",
    "rmsprop",
    "rnn_backward",
    "rnn_forward",
    "rnn_step_backward",
    "rnn_step_forward",
    "sgd",
    "sgd_momentum",
    "temporal_affine_backward",
    "temporal_affine_forward",
    "temporal_softmax_loss",
    "word_embedding_backward",
    "word_embedding_forward",
]
