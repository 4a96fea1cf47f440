"""Score any localization maps against boxes: the published protocol, and without its quirks.

python examples/03_score_maps.py
"""

from __future__ import annotations

import numpy as np

from lookcloser.metrics import box_accuracy_curve, center_maps, max_box_acc, reference_boxes


def main() -> None:
    generator = np.random.default_rng(0)
    count, side = 200, 224
    corners = generator.integers(10, 100, (count, 2))
    boxes = np.concatenate([corners, corners + generator.integers(40, 110, (count, 2))], axis=1)

    # A blob somewhere near the middle of each box stands for the map of a network.
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2 + generator.normal(0, 8, (count, 2))
    spread = (boxes[:, 2:] - boxes[:, :2]) * 0.45
    y, x = np.mgrid[:side, :side]
    maps = np.exp(
        -(((x - middle[:, 0, None, None]) / spread[:, 0, None, None]) ** 2)
        - ((y - middle[:, 1, None, None]) / spread[:, 1, None, None]) ** 2
    ).astype(np.float32)

    published = reference_boxes(boxes, (side, side), (side, side))
    print("published protocol, V2", max_box_acc(maps, published))
    print("corrected, V2         ", max_box_acc(maps, boxes, mode="corrected"))
    print(
        "corrected, largest    ", max_box_acc(maps, boxes, components="largest", mode="corrected")
    )
    middle_maps = center_maps(count, (side, side))
    print("center box            ", max_box_acc(middle_maps, boxes, mode="corrected"))
    print("best thresholds       ", box_accuracy_curve(maps, boxes, mode="corrected").best())


if __name__ == "__main__":
    main()
