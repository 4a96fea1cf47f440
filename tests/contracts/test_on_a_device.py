"""Nothing mixes tensors of two devices: what a machine without a GPU can show of one."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from torch.utils import backend_registration

PROGRAM = Path(__file__).with_name("on_a_device.py")


@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch has no backends in Python",
)
def test_methods_views_and_scores_work_on_a_device(squares, warm_python):
    """In a process of its own, because a backend stays registered."""
    root = str(PROGRAM.parents[2])
    done = subprocess.run(
        [warm_python, str(PROGRAM), str(squares)],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": root},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert {"cam", "racnn", "cnnrnn", "captions", "stock", "evaluation"} <= found.keys()
    assert [f"{name}: {error}" for name, error in found.items() if error is not None] == []


def test_the_device_would_show_a_mistake(warm_python):
    """Tensors of two places, and an array of one that is not here."""
    mistakes = """
import sys, torch
sys.path.insert(0, sys.argv[1])
import on_a_device
on_a_device.register()
with on_a_device.Device():
    there = torch.ones(3).to(on_a_device.NAME)
    assert float((there + 1).sum()) == 6
    for mistake in (lambda: there + torch.ones(3), there.numpy):
        try:
            mistake()
        except (RuntimeError, TypeError) as error:
            print(type(error).__name__, flush=True)
"""
    done = subprocess.run(
        [warm_python, "-c", mistakes, str(PROGRAM.parent)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["RuntimeError", "RuntimeError"], done.stderr
