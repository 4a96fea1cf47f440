"""What is measured of a classifier, of answers that are known in advance."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix, f1_score, log_loss, top_k_accuracy_score

from lookcloser.core import LookcloserError
from lookcloser.core.calibration import COVERAGES, Calibration
from lookcloser.evaluation.classification import (
    TOP,
    Answered,
    _doubt_scores,
    _doubts,
    answer_split,
    class_places,
    evaluate_split,
)
from lookcloser.evaluation.loop import Loop
from lookcloser.metrics.classification import least_calibration_error
from lookcloser.runtime import ArrayOutput

CLASSES, COUNT = 7, 40
NAMES = "abcdefg"
WHOLE = (0.0, 0.0, 8.0, 8.0)
UPPER, LOWER = (0.0, 0.0, 8.0, 4.0), (0.0, 4.0, 8.0, 8.0)


@pytest.fixture
def logits():
    return np.random.default_rng(1).normal(size=(COUNT, CLASSES)).astype(np.float32) * 2


@pytest.fixture
def truth():
    return np.random.default_rng(2).integers(0, CLASSES, COUNT)


def letters(truth):
    return [NAMES[index] for index in truth]


def softmax(logits, temperature=1.0):
    powers = np.exp(logits.astype(np.float64) / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_scores_are_those_of_scikit_learn(
    scripted, split_of, logits, truth, temperature, batch_size
):
    engine = scripted(logits, calibration=Calibration(temperature))
    found = evaluate_split(Loop(engine, batch_size), split_of(letters(truth)), "test")
    answered, every = logits.argmax(axis=1), list(range(CLASSES))
    shares = softmax(logits, temperature)
    assert found.metrics == pytest.approx(
        {
            "top1": (answered == truth).mean(),
            "top5": top_k_accuracy_score(truth, logits, k=5, labels=every),
            "macro_f1": f1_score(truth, answered, average="macro"),
            "nll": log_loss(truth, shares, labels=every),
            "ece": calibration_error(shares, truth),
        },
        rel=1e-5,
    )
    np.testing.assert_array_equal(found.confusion, confusion_matrix(truth, answered, labels=every))
    for index, name in enumerate(NAMES):
        assert found.per_class[name]["count"] == (truth == index).sum()
        hits = (answered == index) & (truth == index)
        assert found.per_class[name]["accuracy"] == hits.sum() / (truth == index).sum()
    assert found.settings["images"] == "40 of split test"
    least = least_calibration_error(found.calibration)
    assert found.settings["ece"].startswith(f"{least:.4f} would be measured on so few images")
    low, high = found.score("top1").interval
    assert low < found.metrics["top1"] < high
    assert [score.name for score in found.scores if score.interval] == ["top1"]


def calibration_error(shares, truth):
    """Guo et al.: fifteen bins of equal width, each with its gap weighted by its images."""
    sure, right = shares.max(axis=1), shares.argmax(axis=1) == truth
    bins = np.minimum((sure * 15).astype(int), 14)
    gaps = [abs(sure[bins == b].sum() - right[bins == b].sum()) for b in range(15)]
    return sum(gaps) / len(truth)


def test_answers_are_the_five_best_with_the_loss_of_the_truth(scripted, split_of, logits, truth):
    found = evaluate_split(Loop(scripted(logits)), split_of(letters(truth)), "test")
    shares = softmax(logits)
    for row, answer in enumerate(found.answers):
        best = np.argsort(-logits[row])[:TOP]
        assert [label.index for label in answer.prediction.labels] == best.tolist()
        scores = [label.score for label in answer.prediction.labels]
        assert scores == pytest.approx(shares[row][best], rel=1e-5)
        assert answer.truth == (NAMES[truth[row]],)
        assert answer.correct is bool(best[0] == truth[row])
        assert answer.loss == pytest.approx(-math.log(shares[row, truth[row]]), rel=1e-4)
        assert answer.prediction.image is not None, "it came from no file"
        shown = [region.label for region in answer.prediction.regions if region.heatmap is not None]
        assert set(shown) == {NAMES[best[0]], NAMES[truth[row]]}, "evidence of both"


def test_ranks_are_those_of_logits_where_shares_are_rounded_alike(scripted, split_of):
    logits = np.zeros((1, CLASSES))
    logits[0, 0], logits[0, 6] = 400, 200  # both others and the truth have a share of 0
    found = evaluate_split(Loop(scripted(logits)), split_of("g"), "test")
    assert found.metrics["top5"] == 1
    assert found.metrics["nll"] == pytest.approx(-math.log(1e-12), rel=1e-6), "finite"


def evident(truth, boxes):
    """Maps (N, C, 8, 8) of which that of the truth is its box, and all others the rest."""
    maps = np.zeros((len(truth), CLASSES, 8, 8))
    for row, (index, (_, y0, _, y1)) in enumerate(zip(truth, boxes, strict=True)):
        maps[row, :, int(y0) : int(y1)] = 1
        others = [other for other in range(CLASSES) if other != index]
        maps[row, others] = 1 - maps[row, others]
    return maps


@pytest.mark.parametrize("rank", [0, 3, 6])
def test_maps_that_are_scored_are_those_of_the_truth_wherever_it_ranks(scripted, split_of, rank):
    """Also beyond the five best, for which the network is asked once more."""
    truth, boxes = np.arange(CLASSES), [UPPER, LOWER] * 3 + [UPPER]
    logits = np.stack([np.roll(np.arange(CLASSES), -index) for index in truth]).astype(float)
    logits[np.arange(CLASSES), truth] = 6.5 - rank
    engine = scripted(logits, evident(truth, boxes))
    labeled = [((NAMES[index], box),) for index, box in zip(truth, boxes, strict=True)]
    data = split_of(letters(truth), labeled)
    found = evaluate_split(Loop(engine, 3), data, "test", threshold_from="none")
    assert found.metrics["MaxBoxAcc@0.7"] == found.metrics["pointing"] == 1
    assert [answer.iou for answer in found.answers] == [1.0] * CLASSES
    assert found.metrics["top1_loc"] == (rank == 0)
    assert found.metrics["top5_loc"] == (rank < TOP)
    again = [targets for _, targets in engine.model.asked if targets is not None]
    assert bool(again) == (rank >= TOP), "only where the truth is not among the best"


def test_only_boxes_of_the_true_class_count(scripted, split_of):
    truth = np.array([0, 1])
    data = split_of("ab", [(("b", LOWER), ("a", UPPER)), (("a", LOWER),)])
    engine = scripted(np.eye(2, CLASSES), evident(truth, [UPPER, LOWER]))
    found = evaluate_split(Loop(engine), data, "test", threshold_from="none")
    assert found.metrics["MaxBoxAcc@0.5"] == 1
    assert [answer.boxes for answer in found.answers] == [(UPPER,), ()]
    assert [answer.iou for answer in found.answers] == [1.0, None]
    assert found.images.boxed == 1


def test_unreadable_images_move_no_box_to_another_image(scripted, split_of):
    truth = np.array([0, 1, 0, 1, 0])
    boxes = [UPPER, LOWER, UPPER, LOWER, WHOLE]
    engine = scripted(np.eye(2, CLASSES)[truth], evident(truth, boxes))
    labeled = [((NAMES[index], box),) for index, box in zip(truth, boxes, strict=True)]
    data = split_of(letters(truth), [labeled[0], (), labeled[2], labeled[3], ()], unreadable=[0])
    found = evaluate_split(Loop(engine, 2), data, "test", threshold_from="none")
    assert [name for name, _ in found.skipped] == ["0.png"]
    assert found.settings["images"] == "4 of split test"
    assert [answer.iou for answer in found.answers] == [None, 1.0, 1.0, None]
    places = list(class_places(Loop(engine, 2), data.samples))
    assert [place.images.tolist() for place in places] == [[], [1, 2], []]
    assert [place.classes.tolist() for place in places] == [[], [0, 1], []]


def test_a_network_without_maps_is_not_scored_as_one_that_misses(scripted, split_of, tmp_path):
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "masks" / "0.png")
    data = split_of("ab", [(("a", UPPER),), (("b", LOWER),)], root=tmp_path)
    found = evaluate_split(Loop(scripted(np.eye(2), extra={"silent": True})), data, "test")
    assert set(found.metrics) == {"top1", "top5", "macro_f1", "ece", "nll"}
    assert [answer.iou for answer in found.answers] == [None, None]
    assert found.metrics["top1"] == 1
    pointing = evaluate_split(Loop(scripted(np.eye(2))), data, "test").metrics
    assert {"MaxBoxAcc@0.5", "PxAP", "top1_loc"} <= set(pointing)


def test_each_scale_has_its_accuracy(scripted, split_of):
    first, second = np.eye(3)[[0, 1, 2, 0]], np.eye(3)[[0, 0, 0, 0]]
    scales = np.stack([first, second], axis=1).astype(np.float32)
    engine = scripted(first, extra={"scale_logits": torch.from_numpy(scales)})
    found = evaluate_split(Loop(engine, 3), split_of("abca"), "test")
    assert (found.metrics["top1 scale 1"], found.metrics["top1 scale 2"]) == (1.0, 0.5)


def test_a_class_that_the_model_does_not_know_is_named_before_any_image_is_read(scripted, split_of):
    engine = scripted(np.eye(3))
    with pytest.raises(LookcloserError, match="z: a class of the data that the model"):
        list(answer_split(Loop(engine), split_of("abz").samples, []))
    assert engine.model.asked == []


def test_a_split_of_which_nothing_can_be_read(scripted, split_of):
    with pytest.raises(LookcloserError, match="None of the 2 images could be read"):
        evaluate_split(Loop(scripted(np.eye(3))), split_of("ab", unreadable=[0, 1]), "test")


def test_each_reason_of_a_doubt_has_its_share():
    distances = np.array([1, 9, 9, 1], np.float32)
    logits = np.array([[5, 0], [5, 0], [1, 1], [1, 1]], np.float32)
    output = ArrayOutput(logits, distances=distances)
    answered = Answered([], [], 0, output, softmax(logits), np.array([0, 0, 0, 1]), logits)
    known = Calibration(lac=(0.6,) * len(COVERAGES), evidence=1.0, distance=4.0, images=40)
    columns = _doubts(answered, known)
    assert columns["refused"].tolist() == [False, True, True, True]
    assert columns["refused unlike"].tolist() == [False, True, True, False]
    assert columns["refused look-alike"].tolist() == [False, False, False, True]
    scores = {score.name: score.value for score in _doubt_scores(columns)}
    shares = [scores[name] for name in ("refused", "refused unlike", "refused look-alike")]
    assert shares == [0.75, 0.5, 0.25]
    assert "refused unlike" not in _doubts(answered, replace(known, distance=None))
