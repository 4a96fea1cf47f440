"""What readers of the open "Model API" (PyPI: openvino-model-api) look for in a file."""

from __future__ import annotations

from collections.abc import Mapping

from lookcloser.core.header import ModelHeader
from lookcloser.runtime.onnx_file import Parts

_PREFIX = "model_info "
_SURE = 0.5  # of tags, where the method has no threshold of its own


def model_info(header: ModelHeader, parts: Parts) -> Mapping[str, str]:
    """Metadata by key; none for captions, which Model API does not know.

    Its lists are split at blanks, so that names get underscores there; the true names are in the
    header. Mean and scale are left out: the network normalizes.
    """
    if header.task == "captioning":
        return {}
    threshold = _SURE if parts.threshold is None else parts.threshold
    values = {
        "model_type": "Classification",
        "task_type": "classification",
        "labels": " ".join("_".join(name.split()) or "_" for name in header.names),
        "multilabel": str(header.task == "multilabel"),
        "hierarchical": "False",
        "confidence_threshold": str(threshold if header.task == "multilabel" else 0.0),
        "output_raw_scores": "True",
        "resize_type": "standard",
        "interpolation_mode": _INTERPOLATION[header.preprocessing.interpolation],
        "reverse_input_channels": "False",
        "pad_value": "0",
    }
    return {_PREFIX + key: value for key, value in values.items()}


_INTERPOLATION = {"bilinear": "LINEAR", "bicubic": "CUBIC", "nearest": "NEAREST"}
