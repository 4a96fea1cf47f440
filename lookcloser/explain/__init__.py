"""Views of any `torch.nn.Module`: where does the answer come from?"""

from collections.abc import Callable
from typing import Any

from lookcloser.explain.cam import cam
from lookcloser.explain.gradcam import gradcam
from lookcloser.explain.normalize import normalize
from lookcloser.explain.saliency import saliency

VIEWS: dict[str, Callable[..., Any]] = {"cam": cam, "gradcam": gradcam, "saliency": saliency}

__all__ = ["VIEWS", "cam", "gradcam", "normalize", "saliency"]
