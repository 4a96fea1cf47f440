"""Scores of answers and of evidence: functions of arrays or CPU tensors, computed with NumPy."""

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
from lookcloser.metrics.maps import centre_maps, reference_boxes, upsample_maps
from lookcloser.metrics.multilabel import multilabel_scores
from lookcloser.metrics.pixels import PxAP, pointing_game, pointing_hits, pxap

__all__ = [
    "BoxAccuracyCurve",
    "MaxBoxAcc",
    "PxAP",
    "bleu",
    "bootstrap_interval",
    "box_acc_at",
    "box_accuracy_curve",
    "box_from_map",
    "box_overlaps",
    "boxes_from_maps",
    "centre_maps",
    "cider_d",
    "confusion_matrix",
    "expected_calibration_error",
    "macro_f1",
    "max_box_acc",
    "multilabel_scores",
    "per_class",
    "pointing_game",
    "pointing_hits",
    "pxap",
    "reference_boxes",
    "reliability",
    "rouge_l",
    "top_k_localisation",
    "topk_accuracy",
    "topk_hits",
    "upsample_maps",
]
