"""How two engines are compared: on made-up answers, whose differences are known."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.export.check import BOX_TOLERANCE, TOLERANCE, Differences, compare
from lookcloser.runtime.outputs import ArrayOutput

PIXELS = np.zeros((3, 3, 32, 64), np.uint8)
LOGITS = np.array([[0, 1, 2], [4, 3, 2], [1, 1, 0]], np.float32)
MAPS = np.random.default_rng(0).random((3, 3, 4, 8)).astype(np.float32)
BOXES = np.zeros((3, 1, 4), np.float32)


@dataclass
class Told:
    """An engine whose answers are given for all images, row by row of a batch."""

    output: ArrayOutput
    at: int = 0

    @property
    def header(self) -> ModelHeader:
        return ModelHeader("cam", {}, "classification", ("a", "b", "c"), Preprocessing((32, 64)))

    def fingerprint(self) -> str:
        raise NotImplementedError("a comparison asks for answers alone")

    def answer(self, pixels: np.ndarray, top: int) -> ArrayOutput:
        assert top == 1
        return self._rows(len(pixels))

    def evidence(self, pixels: np.ndarray, tokens: np.ndarray) -> ArrayOutput:
        found = self._rows(len(pixels))
        self.at += len(pixels)
        return found._replace(tokens=tokens)

    def _rows(self, count: int) -> ArrayOutput:
        rows = slice(self.at % len(PIXELS), self.at % len(PIXELS) + count)
        return ArrayOutput(*(None if v is None else v[rows] for v in self.output))


def differences(found: ArrayOutput, wanted: ArrayOutput) -> Differences:
    return compare(Told(found), Told(wanted), PIXELS)


PLAIN = ArrayOutput(LOGITS, maps=MAPS, boxes=BOXES)


def test_the_same_answers_have_no_differences() -> None:
    found = differences(PLAIN, PLAIN)
    assert found == Differences(3, 0.0, 0.0, 0.0, box_scores=0.0)
    found.require_equal("a.onnx")
    assert found.text() == (
        "logits 0.0e+00, maps 0.0e+00, scores of boxes 0.0e+00, boxes 0.0e+00 px"
    )


def test_differences_are_shares_of_the_range() -> None:
    logits = LOGITS.copy()
    logits[1, 0] += 0.4  # of a range of 4
    assert differences(PLAIN._replace(logits=logits), PLAIN).logits == pytest.approx(0.1)
    span = MAPS.max() - MAPS.min()
    found = differences(PLAIN._replace(maps=MAPS + span / 2), PLAIN)
    assert found.maps == pytest.approx(0.5)


def test_boxes_differ_in_pixels_of_the_longer_side() -> None:
    found = differences(PLAIN._replace(boxes=BOXES + np.float32(0.25)), PLAIN)
    assert found.boxes == pytest.approx(0.25 * 64 / 2)


def test_the_largest_of_all_batches_counts() -> None:
    logits = LOGITS.copy()
    logits[2, 2] = 1
    parts = [
        compare(Told(PLAIN._replace(logits=logits)), Told(PLAIN), PIXELS, batch_size=size)
        for size in (1, 3)
    ]
    # Each batch has its own range: the last image's logits span 1.
    assert [part.logits for part in parts] == pytest.approx([1.0, 0.25])
    assert [part.images for part in parts] == [3, 3]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"logits": LOGITS + np.float32([[0.1, 0, 0]])}, "logits, scores of boxes"),
        ({"maps": MAPS[::-1]}, "maps"),
        ({"maps": None}, "maps"),
        ({"maps": MAPS[:, :, :2]}, "maps"),
        ({"boxes": BOXES + np.float32(0.1)}, "boxes"),
        ({"part_maps": MAPS}, "maps"),
        ({"logits": np.where(LOGITS == 4, np.float32(np.nan), LOGITS)}, "logits"),
    ],
)
def test_a_file_that_answers_otherwise_is_refused(
    change: dict[str, np.ndarray | None], named: str
) -> None:
    found = differences(PLAIN._replace(**change), PLAIN)
    with pytest.raises(LookcloserError, match=rf"a\.onnx: .* in its {named} \(") as raised:
        found.require_equal("a.onnx")
    assert "it was not kept" in str(raised.value)


def test_rounding_is_no_difference() -> None:
    Differences(1, TOLERANCE, TOLERANCE, BOX_TOLERANCE, TOLERANCE).require_equal("a.onnx")
    with pytest.raises(LookcloserError, match="its boxes"):
        Differences(1, 0.0, boxes=1.01 * BOX_TOLERANCE).require_equal("a.onnx")


TOKENS = np.array([[4, 2, -1], [1, -1, -1], [3, 0, 2]])
SCORES = np.array([[0.9, 0.5, 0], [0.8, 0, 0], [0.7, 0.6, 0.5]], np.float32)
SEQUENCES = ArrayOutput(LOGITS, MAPS, TOKENS, SCORES, certified=np.array([True, True, False]))


def test_sequences_are_compared_whole_and_their_evidence_where_they_agree() -> None:
    assert differences(SEQUENCES, SEQUENCES).sequences == 0
    tokens, scores = TOKENS.copy(), SCORES.copy()
    tokens[0, 1], scores[0] = 3, 0.1
    scores[1, 0] -= 0.2
    found = differences(SEQUENCES._replace(tokens=tokens, token_scores=scores), SEQUENCES)
    assert found.sequences == 1
    assert found.scores == pytest.approx(0.2), "of the sequence that differs nothing is compared"
    assert "1 of 3 sequences differ" in found.text()
    with pytest.raises(LookcloserError, match="scores, sequences"):
        found.require_equal("a.onnx")


def test_another_certificate_is_another_answer() -> None:
    certified = np.array([True, False, False])
    assert differences(SEQUENCES._replace(certified=certified), SEQUENCES).sequences == 1


def test_a_longer_padding_is_no_difference() -> None:
    wide = SEQUENCES._replace(
        tokens=np.pad(TOKENS, ((0, 0), (0, 2)), constant_values=-1),
        token_scores=np.pad(SCORES, ((0, 0), (0, 2))),
        maps=np.pad(MAPS, ((0, 0), (0, 2), (0, 0), (0, 0))),
    )
    found = differences(wide, SEQUENCES)
    assert (found.sequences, found.scores, found.maps) == (0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"maps": None}, "maps"),
        ({"maps": MAPS[..., :2]}, "maps"),
        ({"token_scores": None}, "scores"),
        ({"token_scores": np.where(SCORES == 0.5, np.float32(np.nan), SCORES)}, "scores"),
        ({"certified": None}, "sequences"),
    ],
)
def test_a_sequence_without_what_the_model_gives_is_refused(
    change: dict[str, np.ndarray | None], named: str
) -> None:
    found = differences(SEQUENCES._replace(**change), SEQUENCES)
    with pytest.raises(LookcloserError, match=rf"in its {named} \("):
        found.require_equal("a.onnx")


@pytest.mark.parametrize("name", ["maps", "certified"])
def test_a_sequence_with_what_the_model_does_not_give_is_refused(name: str) -> None:
    found = differences(SEQUENCES, SEQUENCES._replace(**{name: None}))
    with pytest.raises(LookcloserError, match="does not answer as the model does"):
        found.require_equal("a.onnx")


def test_without_certificates_on_either_side_nothing_is_proved() -> None:
    plain = SEQUENCES._replace(certified=None)
    assert differences(plain, plain).sequences == 0


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_boxes_is_a_difference(count: int) -> None:
    two, other = (np.zeros((3, number, 4), np.float32) for number in (2, count))
    found = differences(PLAIN._replace(boxes=other), PLAIN._replace(boxes=two))
    with pytest.raises(LookcloserError, match="in its boxes"):
        found.require_equal("a.onnx")


SCALES = np.random.default_rng(1).normal(size=(3, 2, 3)).astype(np.float32)  # the image's first


def of_boxes(output: ArrayOutput) -> np.ndarray:
    """What a file has in the place of its scales' logits: (3, 1) of the best class."""
    shares = np.exp(SCALES[:, 1]) / np.exp(SCALES[:, 1]).sum(axis=1, keepdims=True)
    return np.take_along_axis(shares, output.logits.argmax(axis=1)[:, None], axis=1)


def test_a_file_says_how_sure_each_box_is_as_its_scale_does() -> None:
    scaled = PLAIN._replace(scale_logits=SCALES)
    file = PLAIN._replace(box_scores=of_boxes(PLAIN))
    assert differences(file, scaled).box_scores == pytest.approx(0, abs=1e-6)
    wrong = of_boxes(PLAIN)
    wrong[1] += 0.01
    found = differences(file._replace(box_scores=wrong), scaled)
    assert found.box_scores == pytest.approx(0.01, rel=1e-3)
    with pytest.raises(LookcloserError, match=r"in its scores of boxes \(.* boxes 1.0e-02"):
        found.require_equal("a.onnx")


def test_boxes_without_a_scale_of_their_own_have_the_score_of_the_label() -> None:
    shares = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    file = PLAIN._replace(box_scores=shares.max(axis=1, keepdims=True))
    assert differences(file, PLAIN).box_scores == pytest.approx(0, abs=1e-6)
    assert differences(file._replace(box_scores=file.box_scores / 2), PLAIN).box_scores > 0.1


def test_two_nearly_equal_best_classes_are_no_difference() -> None:
    """Each side has the score of its own best class: of the third image two are equal."""
    logits = LOGITS.copy()
    logits[2, 1] += 1e-6
    file = PLAIN._replace(logits=logits, box_scores=of_boxes(PLAIN._replace(logits=logits)))
    found = differences(file, PLAIN._replace(scale_logits=SCALES))
    assert found.box_scores == pytest.approx(0, abs=1e-6)
    found.require_equal("a.onnx")


DISTANCES = np.array([100, 250, 500], np.float32)


@pytest.mark.parametrize("given", [DISTANCES + 1, None, np.full_like(DISTANCES, np.nan)])
def test_distances_that_decide_on_a_refusal_are_compared(given: np.ndarray | None) -> None:
    far = PLAIN._replace(distances=DISTANCES)
    assert differences(far, far).distances == 0
    found = differences(PLAIN._replace(distances=given), far)
    with pytest.raises(LookcloserError, match=r"in its distances \(.*, distances"):
        found.require_equal("a.onnx")
    if given is not None and np.isfinite(given).all():
        assert found.distances == pytest.approx(1 / 500)


def test_distances_next_to_zero_are_differences_of_large_numbers() -> None:
    """As of images that the head was solved from: 23 is what is left of 17,000."""
    far = PLAIN._replace(logits=LOGITS * np.float32(2000), distances=DISTANCES * np.float32(0.04))
    most = 2 * float(np.abs(far.logits).max())
    near = far._replace(distances=far.distances + np.float32(5e-3))
    found = differences(near, far)
    assert found.distances == pytest.approx(5e-3 / most, rel=1e-2)
    found.require_equal("a.onnx")
    with pytest.raises(LookcloserError, match="in its distances"):
        differences(far._replace(distances=far.distances + np.float32(5)), far).require_equal("a")


def test_of_an_image_with_another_crop_only_the_box_is_compared() -> None:
    boxes, logits = BOXES.copy(), LOGITS.copy()
    boxes[1], logits[1] = np.float32(2.0**-10), 9
    found = differences(PLAIN._replace(boxes=boxes, logits=logits), PLAIN)
    assert (found.logits, found.moved) == (0, 1)
    assert found.boxes == pytest.approx(2.0**-10 * 64 / 2)
    assert "1 of 3 moved" in found.text()
    found.require_equal("a.onnx")


def test_many_other_crops_are_a_fault() -> None:
    moved = PLAIN._replace(boxes=BOXES + np.float32(2.0**-10))
    found = differences(moved, PLAIN)
    assert found.moved == 3
    with pytest.raises(LookcloserError, match=r"in its boxes \("):
        found.require_equal("a.onnx")
    for images, allowed in ((80, 10), (3, 1), (2, 1), (1, 0)):
        Differences(images, 0.0, boxes=0.1, moved=allowed).require_equal("a.onnx")
        with pytest.raises(LookcloserError, match=r"in its boxes \("):
            Differences(images, 0.0, boxes=0.1, moved=allowed + 1).require_equal("a.onnx")


@pytest.mark.parametrize("size", [1, 2, 3])
def test_what_is_not_a_number_counts_in_whichever_batch_it_is(size: int) -> None:
    for row in range(3):
        logits = LOGITS.copy()
        logits[row, 0] = np.nan
        found, wanted = Told(PLAIN._replace(logits=logits)), Told(PLAIN)
        assert np.isnan(compare(found, wanted, PIXELS, batch_size=size).logits)


@pytest.mark.parametrize("level", [0.0, 1e-3, 5.0])
def test_even_maps_are_compared_by_their_height(level: float) -> None:
    even = np.full_like(MAPS, level)
    found = differences(PLAIN._replace(maps=even * np.float32(1.5)), PLAIN._replace(maps=even))
    assert found.maps == pytest.approx(0.5 if level else 0)


def test_attentions_count_as_maps() -> None:
    both = PLAIN._replace(part_maps=MAPS)
    span = float(MAPS.max() - MAPS.min())
    found = differences(both._replace(part_maps=MAPS + np.float32(span / 4)), both)
    assert found.maps == pytest.approx(0.25, rel=1e-3)
    assert differences(both, both).maps == 0


@dataclass
class Listens(Told):
    """Remembers which classes it was asked for."""

    asked: list[list[int]] = field(default_factory=list)

    def evidence(self, pixels: np.ndarray, tokens: np.ndarray) -> ArrayOutput:
        self.asked.append(tokens[0].tolist())
        return super().evidence(pixels, tokens)


@pytest.mark.parametrize(("classes", "compared"), [(3, 3), (50, 50), (1000, 50)])
def test_maps_are_of_fixed_classes_and_of_fifty_at_most(classes: int, compared: int) -> None:
    logits = np.random.default_rng(0).random((3, classes)).astype(np.float32)
    found, wanted = (Listens(PLAIN._replace(logits=logits)) for _ in range(2))
    compare(found, wanted, PIXELS, batch_size=2)
    assert found.asked == wanted.asked == [list(range(compared))] * 2


def test_what_is_not_there_is_not_told() -> None:
    assert Differences(4, 2e-6).text() == "logits 2.0e-06"
    assert Differences(4, 0.0, boxes=0.25).text() == "logits 0.0e+00, boxes 2.5e-01 px"
    told = Differences(4, 0.0, scores=1e-6, sequences=1).text()
    assert told == "logits 0.0e+00, scores 1.0e-06, 1 of 4 sequences differ"
