"""Scores of answers and of evidence: functions of arrays or CPU tensors, computed with NumPy.

Scores that ask a network again (`deletion`, `insertion`, `road`, `sanity_check`) need torch, and
are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lookcloser.metrics.captions import bleu, cider_d, rouge_l
from lookcloser.metrics.classification import (
    bootstrap_interval,
    confusion_matrix,
    expected_calibration_error,
    macro_f1,
    per_class,
    reliability,
    topk_accuracy,
    topk_hits,
)
from lookcloser.metrics.corloc import corloc, corloc_hits
from lookcloser.metrics.localisation import (
    BoxAccuracyCurve,
    MaxBoxAcc,
    box_acc_at,
    box_accuracy_curve,
    box_overlaps,
    max_box_acc,
    top_k_localisation,
)
from lookcloser.metrics.map_boxes import box_from_map, boxes_from_maps
from lookcloser.metrics.maps import centre_maps, random_maps, reference_boxes, upsample_maps
from lookcloser.metrics.multilabel import multilabel_scores
from lookcloser.metrics.pixels import PxAP, pointing_game, pointing_hits, pxap
from lookcloser.metrics.shifts import Nested, Shift, attention_shift, nested_views
from lookcloser.metrics.similarity import rank_correlation, structural_similarity
from lookcloser.metrics.thresholds import (
    ThresholdChoice,
    best_level,
    choose_from_overlaps,
    choose_thresholds,
    fixed_threshold,
)

if TYPE_CHECKING:
    from lookcloser.metrics.faithfulness import FaithfulnessCurve, Road, deletion, insertion, road
    from lookcloser.metrics.sanity import SanityCheck, sanity_check

_WITH_TORCH = {
    "FaithfulnessCurve": "faithfulness",
    "Road": "faithfulness",
    "SanityCheck": "sanity",
    "deletion": "faithfulness",
    "insertion": "faithfulness",
    "road": "faithfulness",
    "sanity_check": "sanity",
}

__all__ = [
    "BoxAccuracyCurve",
    "FaithfulnessCurve",
    "MaxBoxAcc",
    "Nested",
    "PxAP",
    "Road",
    "SanityCheck",
    "Shift",
    "ThresholdChoice",
    "attention_shift",
    "best_level",
    "bleu",
    "bootstrap_interval",
    "box_acc_at",
    "box_accuracy_curve",
    "box_from_map",
    "box_overlaps",
    "boxes_from_maps",
    "centre_maps",
    "choose_from_overlaps",
    "choose_thresholds",
    "cider_d",
    "confusion_matrix",
    "corloc",
    "corloc_hits",
    "deletion",
    "expected_calibration_error",
    "fixed_threshold",
    "insertion",
    "macro_f1",
    "max_box_acc",
    "multilabel_scores",
    "nested_views",
    "per_class",
    "pointing_game",
    "pointing_hits",
    "pxap",
    "random_maps",
    "rank_correlation",
    "reference_boxes",
    "reliability",
    "road",
    "rouge_l",
    "sanity_check",
    "structural_similarity",
    "top_k_localisation",
    "topk_accuracy",
    "topk_hits",
    "upsample_maps",
]


def __getattr__(name: str) -> Any:
    if name in _WITH_TORCH:
        return getattr(import_module(f"{__name__}.{_WITH_TORCH[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
