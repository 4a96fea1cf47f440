"""Views of any `torch.nn.Module`: where does the answer come from?

Every view is called as ``view(model, images, targets)`` and gives one map per target; `VIEWS` has
them by name. `class_visualization` and `fooling_images` make images instead.
"""

from collections.abc import Callable
from typing import Any

from lookcloser.explain.attention_relevance import attention_relevance
from lookcloser.explain.attention_rollout import attention_rollout
from lookcloser.explain.cam import cam
from lookcloser.explain.class_visualization import class_visualization
from lookcloser.explain.deconvnet import deconvnet
from lookcloser.explain.derivative_map import box_update, derivative, derivative_map
from lookcloser.explain.eigencam import eigencam
from lookcloser.explain.fooling_images import Fooled, fooling_images
from lookcloser.explain.gradcam import gradcam
from lookcloser.explain.gradcampp import gradcampp
from lookcloser.explain.guided_backprop import guided_backprop
from lookcloser.explain.integrated_gradients import integrated_gradients
from lookcloser.explain.layercam import layercam
from lookcloser.explain.made_images import to_images
from lookcloser.explain.normalize import PIXEL_CLIP, normalize
from lookcloser.explain.occlusion import occlusion
from lookcloser.explain.outputs import NamedOutput
from lookcloser.explain.rise import rise
from lookcloser.explain.saliency import saliency
from lookcloser.explain.scorecam import scorecam
from lookcloser.explain.smoothgrad import smoothgrad

VIEWS: dict[str, Callable[..., Any]] = {
    view.__name__: view
    for view in (
        cam,
        gradcam,
        gradcampp,
        layercam,
        scorecam,
        eigencam,
        attention_rollout,
        attention_relevance,
        saliency,
        smoothgrad,
        integrated_gradients,
        guided_backprop,
        deconvnet,
        derivative,
        occlusion,
        rise,
    )
}

__all__ = [
    "PIXEL_CLIP",
    "VIEWS",
    "Fooled",
    "NamedOutput",
    "attention_relevance",
    "attention_rollout",
    "box_update",
    "cam",
    "class_visualization",
    "deconvnet",
    "derivative",
    "derivative_map",
    "eigencam",
    "fooling_images",
    "gradcam",
    "gradcampp",
    "guided_backprop",
    "integrated_gradients",
    "layercam",
    "normalize",
    "occlusion",
    "rise",
    "saliency",
    "scorecam",
    "smoothgrad",
    "to_images",
]
