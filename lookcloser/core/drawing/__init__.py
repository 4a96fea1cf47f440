"""Images of evidence: heatmap overlays, labeled boxes, contact sheets.

Every function returns a new RGB image and leaves its arguments as they are. Boxes are
``(x0, y0, x1, y1)`` in pixels of the image that is drawn on, x1 and y1 exclusive.
"""

from lookcloser.core.drawing.evidence import draw_region, plot_labels, plot_prediction, plot_views
from lookcloser.core.drawing.marks import (
    BOX_COLOR,
    COLORMAP,
    draw_box,
    draw_boxes,
    draw_move,
    overlay,
)
from lookcloser.core.drawing.sheets import contact_sheet, image_format, save_image, show_image

__all__ = [
    "BOX_COLOR",
    "COLORMAP",
    "contact_sheet",
    "draw_box",
    "draw_boxes",
    "draw_move",
    "draw_region",
    "image_format",
    "overlay",
    "plot_labels",
    "plot_prediction",
    "plot_views",
    "save_image",
    "show_image",
]
