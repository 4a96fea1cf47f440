"""What the methods minimize: functions of tensors, usable in any training loop."""

from lookcloser.losses.asymmetric import asymmetric_loss
from lookcloser.losses.gather import gather_across_ranks
from lookcloser.losses.label_paths import (
    label_path_loss,
    label_sets,
    minimal_loss_alignment,
    ordered_paths,
    predicted_label_alignment,
)
from lookcloser.losses.mamc import MamcTerms, mamc_loss, mamc_terms
from lookcloser.losses.ranking import area_prior, pairwise_ranking_loss

__all__ = [
    "MamcTerms",
    "area_prior",
    "asymmetric_loss",
    "gather_across_ranks",
    "label_path_loss",
    "label_sets",
    "mamc_loss",
    "mamc_terms",
    "minimal_loss_alignment",
    "ordered_paths",
    "pairwise_ranking_loss",
    "predicted_label_alignment",
]
