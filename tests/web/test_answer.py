"""answer.js makes of arrays the prediction that Python makes of them."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from lookcloser.core.calibration import Calibration
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.runtime import ArrayOutput, predictions
from lookcloser.web.folder import _header

from .conftest import needs_node, node

SCRIPTS = ("heat.js", "answer.js")
NAMES = tuple(f"class {index}" for index in range(7))
SIZE = (301, 200)
HEADER = ModelHeader(
    "cam", {}, "classification", NAMES, Preprocessing((48, 32)), calibration=Calibration(1.7)
)

PREDICT = """(() => {
  const values = (rows) => Float32Array.from(rows.flat());
  const map = (rows) => ({ w: rows[0].length, h: rows.length, values: values(rows) });
  const maps = found.maps && found.maps.map(map), parts = found.parts && found.parts.map(map);
  return predictionOf({ ...found, maps, parts }, header, size, top);
})()"""


def drawn(seed=0, tokens=(2, 0, 6), grid=(5, 4), **more):
    """An output of one image with maps of both signs."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (1, len(NAMES))).astype(np.float32)
    maps = rng.normal(0.1, 1, (1, len(tokens), *grid)).astype(np.float32)
    return ArrayOutput(logits, maps, np.array([tokens]), **more)


def in_browser(output, header, top=5):
    """The same output as the worker gives it to answer.js."""
    row = [None if field is None else np.asarray(field)[0].tolist() for field in output]
    given = dict(zip(output._fields, row, strict=True))
    boxes, scores = given["boxes"], given["box_scores"]
    found = {
        "logits": given["logits"],
        "tokens": given["tokens"],
        "tokenScores": given["token_scores"],
        "maps": given["maps"],
        "parts": given["part_maps"],
        "boxes": boxes and [[*box, score] for box, score in zip(boxes, scores, strict=True)],
        "distance": given["distances"],
    }
    return node(SCRIPTS, PREDICT, found=found, header=_header(header), size=SIZE, top=top)


def same(found, wanted, place=""):
    """Equal, numbers up to the rounding of float32 and of the last digit written."""
    if isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-4, abs=1.1e-4), place
    elif isinstance(wanted, dict):
        assert list(found) == list(wanted), place
        for key in wanted:
            same(found[key], wanted[key], f"{place}.{key}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), place
        for index, (one, other) in enumerate(zip(found, wanted, strict=True)):
            same(one, other, f"{place}[{index}]")
    else:
        assert found == wanted, place


CASES = {
    "maps": (HEADER, drawn()),
    "no maps": (HEADER, drawn()._replace(maps=None)),
    "nothing found": (HEADER, drawn()._replace(maps=-np.ones((1, 3, 5, 4), np.float32))),
    "even maps": (HEADER, drawn()._replace(maps=np.ones((1, 3, 5, 4), np.float32))),
    "maps by pixel": (HEADER, drawn(grid=(48, 32))),
    "fine maps": (HEADER, drawn(grid=(60, 41))),
    "equal scores": (HEADER, drawn()._replace(logits=np.ones((1, 7), np.float32))),
    "scores rounded to equal ones": (
        HEADER,
        drawn()._replace(logits=np.array([[0, 900, 5, 0, 9, 700, 9]], np.float32)),
    ),
    "a class that is ruled out": (
        HEADER,
        drawn()._replace(logits=np.array([[0, -np.inf, 5, 0, 9, 1, 9]], np.float32)),
    ),
    "a group": (
        replace(HEADER, parents={HEADER.names[0]: "a", HEADER.names[1]: "a", "a": "b"}),
        drawn()._replace(logits=np.array([[1.0, 1, -9, -9, -9, -9, -9]], np.float32)),
    ),
    "another threshold": (replace(HEADER, box_threshold=0.6), drawn(3)),
    "a share of the maximum": (replace(HEADER, box_rule="max", box_threshold=0.4), drawn(3)),
    "scales": (
        HEADER,
        drawn(
            boxes=np.array([[[-0.5, -0.7, 0.1, 0.3], [-1.2, 0.0, 0.4, 1.5]]], np.float32),
            box_scores=np.array([[0.25, 0.75]], np.float32),
        ),
    ),
    "parts": (HEADER, drawn(part_maps=np.random.default_rng(1).random((1, 2, 3, 3), np.float32))),
    "tags": (
        replace(HEADER, task="multilabel", evidence_kind="step"),
        drawn(token_scores=np.array([[0.5, 0.25, 0.125]], np.float32)),
    ),
    "words": (
        replace(HEADER, task="captioning", evidence_kind="word"),
        drawn(token_scores=np.array([[0.5, 0.25, 0.125]], np.float32)),
    ),
}


@needs_node
@pytest.mark.parametrize("case", CASES)
def test_answers_are_those_of_python(case):
    header, output = CASES[case]
    (wanted,) = predictions(output, header, [SIZE], 5)
    same(in_browser(output, header), wanted.to_dict())


@needs_node
@pytest.mark.parametrize("field", ["logits", "maps"])
def test_what_is_no_number_is_no_answer(field):
    output = drawn()
    getattr(output, field)[0, 1] = np.nan
    with pytest.raises(AssertionError, match="answer to it is not a number"):
        in_browser(output, HEADER)


@needs_node
@pytest.mark.parametrize(
    ("limits", "refusal"),
    [
        ({"evidence": 100.0}, "like no class it knows"),
        ({"evidence": 100.0, "distance": 3.0}, "unlike the training images"),
        ({"distance": 5.0}, None),
        ({}, None),
    ],
)
def test_doubts_are_those_of_python(limits, refusal):
    header = replace(HEADER, calibration=Calibration(**limits))
    output = drawn(distances=np.array([4.0], np.float32))
    (wanted,) = predictions(output, header, [SIZE], 2)
    assert wanted.refusal == refusal
    assert in_browser(output, header, 2)["refusal"] == refusal


def test_the_header_of_the_page_holds_what_an_answer_needs():
    whole = asdict(HEADER)
    for key, value in _header(HEADER).items():
        given = {name: value[name] for name in value} if isinstance(value, dict) else value
        of_python = whole[key]
        if key == "calibration":
            of_python = {name: whole[key][name] for name in given}
        assert given == (list(of_python) if isinstance(of_python, tuple) else of_python)
