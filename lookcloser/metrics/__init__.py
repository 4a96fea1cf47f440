"""Scores of answers and of evidence: functions of arrays or CPU tensors, computed with NumPy.

Names are imported on first use: some need SciPy, and scores that ask a network again (`deletion`,
`insertion`, `road`, `sanity_check`) need torch.
"""

from typing import TYPE_CHECKING

from lookcloser.first_use import on_first_use

if TYPE_CHECKING:
    from lookcloser.metrics.captions import (
        bleu,
        cider_d,
        rouge_l,
    )
    from lookcloser.metrics.class_localization import (
        corloc,
        corloc_hits,
    )
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
    from lookcloser.metrics.faithfulness import (
        FaithfulnessCurve,
        Road,
        deletion,
        insertion,
        road,
    )
    from lookcloser.metrics.localization import (
        BoxAccuracyCurve,
        MaxBoxAcc,
        box_acc_at,
        box_accuracy_curve,
        box_overlaps,
        max_box_acc,
        top_k_localization,
    )
    from lookcloser.metrics.map_boxes import (
        box_from_map,
        boxes_from_maps,
    )
    from lookcloser.metrics.maps import (
        center_maps,
        random_maps,
        reference_boxes,
        upsample_maps,
    )
    from lookcloser.metrics.multilabel import (
        multilabel_scores,
    )
    from lookcloser.metrics.pixels import (
        PxAP,
        pointing_game,
        pointing_hits,
        pxap,
    )
    from lookcloser.metrics.sanity import (
        SanityCheck,
        sanity_check,
    )
    from lookcloser.metrics.shifts import (
        Nested,
        Shift,
        attention_shift,
        nested_views,
    )
    from lookcloser.metrics.similarity import (
        rank_correlation,
        structural_similarity,
    )
    from lookcloser.metrics.thresholds import (
        ThresholdChoice,
        best_level,
        choose_from_counts,
        choose_from_overlaps,
        choose_thresholds,
        fixed_threshold,
    )

_HOME = {
    "BoxAccuracyCurve": "localization",
    "FaithfulnessCurve": "faithfulness",
    "MaxBoxAcc": "localization",
    "Nested": "shifts",
    "PxAP": "pixels",
    "Road": "faithfulness",
    "SanityCheck": "sanity",
    "Shift": "shifts",
    "ThresholdChoice": "thresholds",
    "attention_shift": "shifts",
    "best_level": "thresholds",
    "bleu": "captions",
    "bootstrap_interval": "classification",
    "box_acc_at": "localization",
    "box_accuracy_curve": "localization",
    "box_from_map": "map_boxes",
    "box_overlaps": "localization",
    "boxes_from_maps": "map_boxes",
    "center_maps": "maps",
    "choose_from_counts": "thresholds",
    "choose_from_overlaps": "thresholds",
    "choose_thresholds": "thresholds",
    "cider_d": "captions",
    "confusion_matrix": "classification",
    "corloc": "class_localization",
    "corloc_hits": "class_localization",
    "deletion": "faithfulness",
    "expected_calibration_error": "classification",
    "fixed_threshold": "thresholds",
    "insertion": "faithfulness",
    "macro_f1": "classification",
    "max_box_acc": "localization",
    "multilabel_scores": "multilabel",
    "nested_views": "shifts",
    "per_class": "classification",
    "pointing_game": "pixels",
    "pointing_hits": "pixels",
    "pxap": "pixels",
    "random_maps": "maps",
    "rank_correlation": "similarity",
    "reference_boxes": "maps",
    "reliability": "classification",
    "road": "faithfulness",
    "rouge_l": "captions",
    "sanity_check": "sanity",
    "structural_similarity": "similarity",
    "top_k_localization": "localization",
    "topk_accuracy": "classification",
    "topk_hits": "classification",
    "upsample_maps": "maps",
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
    "center_maps",
    "choose_from_counts",
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
    "top_k_localization",
    "topk_accuracy",
    "topk_hits",
    "upsample_maps",
]


__getattr__ = on_first_use(__name__, _HOME)
