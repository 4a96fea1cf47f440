"""What the tests of growth add to a copy of the package: a task, and a form of export."""

GRADES = """"grading": TaskTraits(
        labels="one",
        noun="grade",
        method="cam",
        answer="one grade of {} for an image",
        right="the right grade",
        pipeline="image-classification",
    ),
    "captioning": TaskTraits("""

LEARNING = '''"""Training on one grade per image: a near miss costs less than a far one."""

from torch.nn import functional as F

from lookcloser.training.tasks.classification import ClassificationModule


class GradingModule(ClassificationModule):
    """Squared differences of cumulative probabilities, up to each grade."""

    def criterion(self, logits, targets):
        """Mean over images."""
        truth = F.one_hot(targets, logits.shape[1]) if targets.ndim == 1 else targets
        return (logits.softmax(dim=1) - truth).cumsum(dim=1).square().sum(dim=1).mean()
'''

SCORING = '''"""Everything measured on a split of grades."""

from dataclasses import replace

import numpy as np

from lookcloser.core.results.scores import Score
from lookcloser.evaluation.classification import evaluate_split


def evaluate_grades(loop, catalog, split, **how):
    """How far off the answers are, before what is measured of any one label."""
    found = evaluate_split(loop, catalog, split, **how)
    grades = np.arange(len(found.names))
    off = np.abs(grades[:, None] - grades)
    error = float((found.confusion * off).sum() / found.confusion.sum())
    score = Score("mean error", error, higher_is_better=False, is_share=False)
    return replace(found, scores=(score, *found.scores))
'''

TARGET = '''"""The weights alone, as NumPy reads them."""

from pathlib import Path

import numpy as np

from lookcloser.export import Differences
from lookcloser.recognizer.exporting import ExportResult


def write(recognizer, out, int8, calibrate, ort):
    """One .npz file."""
    path = Path(out)
    weights = recognizer.engine.model.state_dict()
    np.savez(path, **{name: value.numpy() for name, value in weights.items()})
    return ExportResult(path, Differences(0, 0.0), "no images", size=path.stat().st_size,
                        shown_by="numpy.load")
'''
