"""What ultralytics makes of a data set of the YOLO family, where it is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

IF_THERE = pytest.mark.skipif(
    find_spec("ultralytics") is None, reason="ultralytics is large, and no part of the extra dev"
)

# In a process of its own: it changes warnings, signals and settings of the process it is in.
LOAD = """
import json, sys
from ultralytics.data.utils import check_det_dataset
from ultralytics.data.dataset import YOLODataset

data = check_det_dataset(sys.argv[1], autodownload=False)
found = {"names": data["names"]}
for split in ("train", "val"):
    options = {"data": data, "task": sys.argv[2], "imgsz": 32, "augment": False}
    dataset = YOLODataset(img_path=data[split], **options)
    found[split] = [
        {
            "file": label["im_file"],
            "classes": label["cls"][:, 0].tolist(),
            "boxes": label["bboxes"].tolist(),
            "corners": [len(segment) for segment in label["segments"]],
        }
        for label in dataset.labels
    ]
print("FOUND " + json.dumps(found))
"""


def loaded(page: Path, task: str, folder: Path) -> dict[str, Any]:
    """What ultralytics makes of a ``data.yaml``."""
    environment = {**os.environ, "YOLO_CONFIG_DIR": str(folder), "YOLO_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(page), task], env=environment, cwd=folder,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("FOUND "))
    found: dict[str, Any] = json.loads(line.removeprefix("FOUND "))
    return found
