"""Small made pictures and evaluations of every task."""

from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from lookcloser.core import Answer, Evaluation, Label, Prediction, Region
from lookcloser.core.results.audit import Audit, AuditedClass, Look
from lookcloser.core.results.scores import Score

EVIL = '<script>alert(1)</script> & "quotes"'
EXPLAINED = {"score": "its score", "border attention": "its lift", "kinds": "how many"}

VOID = {"meta", "link", "img", "input", "br", "wbr", "hr"}


class Page(HTMLParser):
    """What a page consists of: tags with their attributes, text, and the content of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.scripts = [], [], []
        self.open, self.joined = [], False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.joined = tag == "wbr"  # a place where a word may break, not its end
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            start = self.words.pop() if self.joined else ""
            self.words.append(start + data.strip())
        self.joined = False

    @property
    def text(self):
        """Everything that a reader sees, without spaces at the joints."""
        return " ".join(word for word in self.words if word)

    def having(self, **attributes):
        """The attributes of the tags that have these values."""
        wanted = {key.rstrip("_"): value for key, value in attributes.items()}
        return [found for _, found in self.tags if wanted.items() <= found.items()]


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Eight files that compress about as badly as photographs."""
    folder = tmp_path_factory.mktemp("photos")
    paths = []
    for index in range(8):
        rng = np.random.default_rng(index)
        small = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
        image = np.asarray(small.resize((400, 300), Image.Resampling.BICUBIC)).astype(int)
        noisy = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
        paths.append(folder / f"photo{index}.jpg")
        Image.fromarray(noisy).save(paths[-1])
    return paths


def answer(path, guess="a", truth="a", *, score=0.9, loss=0.1, iou=None, boxes=(), grid=(7, 7)):
    """One answered picture with a map for the guess and, where it differs, one for the truth."""
    rng = np.random.default_rng(round(1000 * loss))
    scores = {guess: score} if guess == truth else {guess: score, truth: 1 - score}
    labels = tuple(Label(name, value, i) for i, (name, value) in enumerate(scores.items()))
    regions = tuple(
        Region("map", name, value, (100, 60, 300, 240), rng.random(grid, dtype=np.float32))
        for name, value in scores.items()
    )
    prediction = Prediction("classification", labels, regions, (400, 300), path)
    return Answer(prediction, (truth,), boxes, guess == truth, iou, loss)


@pytest.fixture
def evaluation(photos):
    """A complete classification: three classes, boxes, intervals, calibration, skipped files."""
    box = ((80.0, 60.0, 280.0, 240.0),)
    rows = [
        ("cat", "cat", 0.99, 0.01, 0.9),
        ("dog", "cat", 0.70, 2.50, 0.2),
        ("cat", "dog", 0.95, 5.00, 0.0),
        ("owl", "owl", 0.60, 0.51, 0.6),
    ]
    answers = tuple(
        answer(photos[i], guess, truth, score=score, loss=loss, iou=iou, boxes=box)
        for i, (guess, truth, score, loss, iou) in enumerate(rows)
    )
    return Evaluation(
        task="classification",
        split="test",
        names=("cat", "dog", "owl"),
        scores=(
            Score("top1", 0.5, (0.25, 0.75), higher_is_better=True),
            Score("macro_f1", 0.512, higher_is_better=True),
            Score("nll", 2.005, higher_is_better=False, is_share=False),
            Score(
                "MaxBoxAcc@0.5",
                0.75,
                None,
                {"center box": 0.25},
                higher_is_better=True,
                of_evidence=True,
            ),
        ),
        answers=answers,
        per_class={
            "cat": {"count": 2, "accuracy": 0.5, "f1": 0.5},
            "dog": {"count": 1, "accuracy": 0.0, "f1": 0.0},
            "owl": {"count": 1, "accuracy": 1.0, "f1": 1.0},
        },
        confusion=np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1]]),
        calibration=((0.65, 0.5, 2), (0.97, 0.5, 2)),
        settings={"threshold": "0.2 of the maximum, chosen on val"},
        skipped=(("broken.jpg", "truncated"),),
    )


@pytest.fixture
def bare(photos):
    """As little as an evaluation can hold."""
    return Evaluation("classification", "val", (), (), ())


@pytest.fixture
def make_answer():
    return answer


@pytest.fixture
def parse():
    return Page


def audited_class(name, suspicion, photo, **changes):
    place = np.zeros((8, 8), bool)
    place[6:, 5:] = True
    values = {
        "name": name,
        "images": 20,
        "suspicion": suspicion,
        "level": "model" if suspicion >= 1 else "none",
        "reasons": ("A reason <b>.",) if suspicion >= 1 else (),
        "measures": {"score": 0.75, "border attention": 1.5, "kinds": 2.0},
        "heatmap": np.eye(4, dtype=np.float32),
        "place": place,
        "average": np.full((64, 64, 3), 120, np.uint8),
        "looks": (
            Look(15, np.eye(4, dtype=np.float32), photo, (100.0, 60.0, 300.0, 240.0)),
            Look(5, np.eye(4, dtype=np.float32), np.zeros((30, 40, 3), np.uint8), None),
        ),
    }
    return AuditedClass(**(values | changes))


@pytest.fixture
def found(photos):
    classes = [audited_class(EVIL, 3.0, photos[0])]
    classes += [audited_class(f"class {n}", 0.5 - n / 100, photos[n % 8]) for n in range(9)]
    skipped = ((f"{EVIL}.jpg", "truncated"),)
    return Audit("test", tuple(classes), EXPLAINED, {"images": "200"}, skipped)


@pytest.fixture
def make_audit():
    """An audit of classes, each a tuple of the arguments of `audited_class`."""

    def make(*classes, **changes):
        found = tuple(audited_class(*values, **changes) for values in classes)
        return Audit("test", found, EXPLAINED, {"images": "200"})

    return make


@pytest.fixture
def evil():
    return EVIL
