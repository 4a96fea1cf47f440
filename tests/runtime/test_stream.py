"""Images in, predictions out, with an engine that is no network."""

import subprocess
import sys
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lookcloser.core.archives.members import members
from lookcloser.core.calibration import COVERAGES, Calibration
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.runtime import Answerer, ArrayOutput, stream
from lookcloser.runtime.stream import NO_NUMBERS

HEADER = ModelHeader("none", {}, "classification", ("dark", "light"), Preprocessing((6, 4)))


class Brightness:
    """Answers "light" for bright images."""

    header = HEADER

    def __init__(self):
        self.batches = []

    def answer(self, pixels, top):
        assert pixels.dtype == np.uint8
        assert pixels.shape[1:] == (3, 6, 4)
        self.batches.append(len(pixels))
        mean = pixels.mean(axis=(1, 2, 3)).astype(np.float32)
        return ArrayOutput(np.stack([127 - mean, mean - 127], axis=1) / 10)


@pytest.fixture
def folder(tmp_path):
    for number in range(5):
        Image.new("RGB", (20, 10), (250 * (number % 2),) * 3).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"broken")
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
def test_answers_come_in_order_and_a_broken_image_fails_alone(folder, workers):
    engine = Brightness()
    found = list(stream(engine, folder, batch_size=2, workers=workers))
    assert [answer.path.name for answer in found] == [f"{n}.png" for n in range(5)]
    best = [answer.labels[0].name if answer.labels else None for answer in found]
    assert best == ["dark", "light", None, "light", "dark"]
    assert "2.png" in found[2].error
    assert (found[0].error_kind, found[2].error_kind) == (None, "invalid")
    assert engine.batches == [2, 1, 1]


@pytest.mark.parametrize("field", ["logits", "maps"])
def test_an_answer_that_is_no_number_is_an_error_of_its_image_alone(folder, field):
    class Breaks(Brightness):
        def answer(self, pixels, top):
            output = super().answer(pixels, top)
            maps, tokens = np.ones((len(pixels), 1, 2, 2), np.float32), np.zeros((len(pixels), 1))
            found = {"logits": output.logits, "maps": maps}
            found[field][output.logits[:, 1] > 0] = np.nan
            return ArrayOutput(**found, tokens=tokens.astype(np.int64))

    found = list(stream(Breaks(), folder, batch_size=2))
    said = [answer.error and answer.error.partition(":")[0] for answer in found]
    assert said[0] is None
    assert found[0].labels[0].name == "dark"
    assert said[1] == said[3] == NO_NUMBERS
    assert found[1].path.name == "1.png"
    assert found[1].size == (20, 10)
    assert not found[1].labels


def test_a_class_that_is_ruled_out_is_an_answer():
    class RulesOut(Brightness):
        def answer(self, pixels, top):
            output = super().answer(pixels, top)
            output.logits[:, 0] = -np.inf
            return output

    (answer,) = stream(RulesOut(), np.zeros((5, 5, 3), np.uint8))
    assert answer.labels[0].score == 1.0


@pytest.mark.parametrize(
    ("field", "shape"),
    [
        ("boxes", (2, 1, 4)),
        ("part_maps", (2, 3, 2, 2)),
        ("token_scores", (2, 1)),
        ("box_scores", (2, 1)),
        ("scale_logits", (2, 2, 2)),
    ],
)
def test_whatever_an_answer_is_made_from_has_to_be_numbers(folder, field, shape):
    class Breaks(Brightness):
        def answer(self, pixels, top):
            values = np.full(shape, 0.5, np.float32)
            values[1].flat[0] = np.nan
            boxes = np.zeros((2, 1, 4), np.float32)
            given = {"tokens": np.zeros((2, 1), np.int64), "boxes": boxes, field: values}
            return super().answer(pixels, top)._replace(**given)

    first, second = stream(Breaks(), [folder / "0.png", folder / "1.png"])
    assert first.error is None
    assert first.regions
    assert (second.error, second.error_kind) == (NO_NUMBERS, "not finite")


@pytest.mark.parametrize("values", [(-np.inf, -np.inf), (np.inf, 0.0), (np.nan, 0.0)])
def test_logits_of_which_no_shares_can_be_made_are_no_answer(values):
    class Empty(Brightness):
        def answer(self, pixels, top):
            return ArrayOutput(np.array([values] * len(pixels), np.float32))

    (answer,) = stream(Empty(), np.zeros((5, 6, 3), np.uint8))
    assert (answer.error, answer.labels, answer.size) == (NO_NUMBERS, (), (6, 5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 0}, "top = 0. Allowed: a whole number, 1 or more"),
        ({"top": 2.5}, "top = 2.5"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"batch_size": -3}, "batch_size = -3"),
        ({"batch_size": True}, "batch_size = True"),
        ({"workers": -1}, "workers = -1. Allowed: a whole number, 0 or more"),
    ],
)
def test_numbers_that_are_too_small_are_named_before_anything_is_read(options, message):
    with pytest.raises(UsageError) as raised:
        next(stream(Brightness(), "missing.png", **options))
    assert message in str(raised.value)
    assert len(list(stream(Brightness(), np.zeros((5, 5, 3), np.uint8), top=np.int64(1)))) == 1


def test_an_image_in_an_archive_is_its_own_picture_to_draw(folder, tmp_path):
    with tarfile.open(tmp_path / "shard.tar", "w") as archive:
        archive.add(folder / "1.png", "birds/1.png")
    (member,) = members(tmp_path / "shard.tar")
    (found,) = stream(Brightness(), [member])
    assert found.path is None
    assert found.image is member
    assert found.labels[0].name == "light"
    assert np.asarray(found.plot()).max() == 255


def test_an_unreadable_image_is_not_shown_to_the_network(folder):
    engine = Brightness()
    (found,) = stream(engine, folder / "2.png")
    assert not engine.batches
    assert (found.path, found.size, found.regions) == (folder / "2.png", (0, 0), ())
    assert found.task == "classification"


class Asked(Answerer):
    """A recognizer on `Brightness`."""

    def __init__(self, header=HEADER):
        self._engine = Brightness()
        self._engine.header = header

    @property
    def engine(self):
        return self._engine


def test_a_recognizer_hands_on_what_it_is_asked(folder):
    asked = Asked()
    assert asked.names == ("dark", "light")
    answers = asked.predict(folder, top=1, batch_size=3, workers=2)
    assert asked.engine.batches == [2, 2]
    assert [len(answer.labels) for answer in answers] == [1, 1, 0, 1, 1]
    for one, other in zip(asked.stream(folder, top=1), answers, strict=True):
        assert one.to_dict() == other.to_dict()


def test_a_promise_is_kept_by_the_kind_of_set_that_was_asked_for(folder):
    quantiles = tuple(0.02 for _ in COVERAGES)
    calibration = Calibration(1.0, 50, quantiles, (-1.0,) * len(COVERAGES))
    asked = Asked(replace(HEADER, calibration=calibration))
    (small,) = asked.predict(folder / "0.png", coverage=0.9)
    (never_empty,) = asked.predict(folder / "0.png", coverage=0.9, sets="aps")
    assert [label.name for label in small.candidates] == ["dark"]
    assert small.coverage == never_empty.coverage == 0.9
    assert never_empty.candidates
    assert asked.predict(folder / "0.png")[0].candidates is None
    with pytest.raises(LookcloserError, match="largest: unknown"):
        asked.predict(folder / "0.png", coverage=0.9, sets="largest")


def test_one_batch_is_answered_before_the_next_but_one_is_read(folder):
    engine = Brightness()
    answers = stream(engine, folder, batch_size=1)
    next(answers)
    assert engine.batches == [1]


def test_images_in_memory_keep_their_pixels_for_drawing():
    array = np.full((10, 20, 3), 255, np.uint8)
    (found,) = stream(Brightness(), array)
    assert found.path is None
    assert found.size == (20, 10)
    assert np.array_equal(np.asarray(found.image), array)


def test_a_missing_path_is_an_error_before_anything_is_answered(folder):
    with pytest.raises(LookcloserError, match="no such file"):
        next(stream(Brightness(), [folder / "0.png", folder / "9.png"]))


def test_the_runtime_loads_no_torch_and_is_quick():
    program = (
        "import sys, lookcloser.runtime\n"
        "heavy = {'torch', 'torchvision', 'timm', 'scipy', 'sklearn', 'matplotlib', 'lightning'}\n"
        "loaded = heavy & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_cannot_be_promised_is_said_before_the_work():
    class Bright(Answerer):
        engine = Brightness()

    Bright().check(top=2)
    assert Bright.engine.batches == [1], "one gray image"
    with pytest.raises(LookcloserError, match="promises no coverage"):
        Bright().check(coverage=0.9)
    with pytest.raises(LookcloserError, match="at most 0.99"):
        Bright().check(coverage=95)
