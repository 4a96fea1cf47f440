"""Sequences from any model that gives log-probabilities of the next token.

Decoders know a function ``step`` and its state, no network: see `Step`.
"""

from lookcloser.decoding.beam import beam_search, greedy_search
from lookcloser.decoding.best_first import best_first_search
from lookcloser.decoding.prefix_cache import CachedState, PrefixCache
from lookcloser.decoding.sampling import sample
from lookcloser.decoding.search import Search
from lookcloser.decoding.sets import label_marginals, set_probabilities
from lookcloser.decoding.types import Hypothesis, SearchResult, Step

__all__ = [
    "CachedState",
    "Hypothesis",
    "PrefixCache",
    "Search",
    "SearchResult",
    "Step",
    "beam_search",
    "best_first_search",
    "greedy_search",
    "label_marginals",
    "sample",
    "set_probabilities",
]
