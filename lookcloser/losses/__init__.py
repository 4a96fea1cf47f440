"""What the methods minimise: functions of tensors, usable in any training loop."""

from lookcloser.losses.gather import gather_across_ranks
from lookcloser.losses.mamc import MamcTerms, mamc_loss, mamc_terms
from lookcloser.losses.ranking import area_prior, pairwise_ranking_loss

__all__ = [
    "MamcTerms",
    "area_prior",
    "gather_across_ranks",
    "mamc_loss",
    "mamc_terms",
    "pairwise_ranking_loss",
]
