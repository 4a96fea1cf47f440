"""Torch parts of the methods, one concept a file."""

from lookcloser.layers.attention_proposal import (
    AttentionProposal,
    FullyConnectedHead,
    KeypointHead,
    bounded_boxes,
    strongest_response_boxes,
)
from lookcloser.layers.boxcar import box_corners, boxcar_mask, compose_boxes, crop_and_zoom
from lookcloser.layers.osme import OSME, merge_attentions
from lookcloser.layers.recurrent import (
    CNNRNNCell,
    GRUCell,
    LSTMCell,
    RecurrentCell,
    TanhCell,
    recurrent_cell,
)

__all__ = [
    "OSME",
    "AttentionProposal",
    "CNNRNNCell",
    "FullyConnectedHead",
    "GRUCell",
    "KeypointHead",
    "LSTMCell",
    "RecurrentCell",
    "TanhCell",
    "bounded_boxes",
    "box_corners",
    "boxcar_mask",
    "compose_boxes",
    "crop_and_zoom",
    "merge_attentions",
    "recurrent_cell",
    "strongest_response_boxes",
]
