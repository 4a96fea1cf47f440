"""answer.js makes of arrays the prediction that Python makes of them."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from lookcloser.core.calibration import COVERAGES, Calibration
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.runtime import ArrayOutput, predictions
from lookcloser.runtime.answering import Promise
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
  return predictionOf({ ...found, maps, parts }, header, size, top, coverage);
})()"""


def drawn(seed=0, tokens=(2, 0, 6), grid=(5, 4), **more):
    """An output of one image with maps of both signs."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (1, len(NAMES))).astype(np.float32)
    maps = rng.normal(0.1, 1, (1, len(tokens), *grid)).astype(np.float32)
    return ArrayOutput(logits, maps, np.array([tokens]), **more)


def found_by(output):
    """The output of one image as the worker gives it to answer.js."""
    row = [None if field is None else np.asarray(field)[0].tolist() for field in output]
    given = dict(zip(output._fields, row, strict=True))
    boxes, scores = given["boxes"], given["box_scores"]
    return {
        "logits": given["logits"],
        "tokens": given["tokens"],
        "tokenScores": given["token_scores"],
        "maps": given["maps"],
        "parts": given["part_maps"],
        "boxes": boxes and [[*box, score] for box, score in zip(boxes, scores, strict=True)],
        "distance": given["distances"],
    }


def in_browser(output, header, top=5, coverage=None):
    """What answer.js makes of it."""
    given = {"header": _header(header), "size": SIZE, "top": top, "coverage": coverage}
    return node(SCRIPTS, PREDICT, found=found_by(output), **given)


def same(found, wanted, place=""):
    """Equal, numbers up to the rounding of float32 and of the last digit written."""
    if isinstance(wanted, float):
        assert abs(found - wanted) <= max(1e-4 * abs(wanted), 1.1e-4), place
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


@needs_node
@pytest.mark.parametrize("coverage", [0.3, 0.5, 0.8, 0.95, 0.99])
@pytest.mark.parametrize("quantiles", [(0.2, 0.9), (-0.1, 0.0), (0.5, 2.0)])
def test_sets_are_those_of_python(coverage, quantiles):
    """From empty ones to such that hold every class, in the order of the logits."""
    lac = tuple(np.linspace(*quantiles, len(COVERAGES)).tolist())
    header = replace(HEADER, calibration=Calibration(1.7, 100, lac, lac))
    output = drawn()
    (wanted,) = predictions(output, header, [SIZE], 2, Promise(coverage, "lac"))
    same(in_browser(output, header, 2, coverage), wanted.to_dict())


def test_sets_of_the_cases_differ():
    lac = tuple(np.linspace(0.2, 0.9, len(COVERAGES)).tolist())
    header = replace(HEADER, calibration=Calibration(1.7, 100, lac, lac))
    sizes = [
        len(next(predictions(drawn(), header, [SIZE], 2, Promise(coverage, "lac"))).candidates)
        for coverage in (0.5, 0.8, 0.95)
    ]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 1


def test_the_header_of_the_page_holds_what_an_answer_needs():
    whole = asdict(HEADER)
    for key, value in _header(HEADER).items():
        given = {name: value[name] for name in value} if isinstance(value, dict) else value
        of_python = whole[key]
        if key == "calibration":
            of_python = {name: whole[key][name] for name in given} | {"lac": []}
        assert given == (list(of_python) if isinstance(of_python, tuple) else of_python)


EVERY = """cases.map(({ found: given, header, size, top }) => {
  const map = (rows) => (
    { w: rows[0].length, h: rows.length, values: Float32Array.from(rows.flat()) }
  );
  const maps = given.maps && given.maps.map(map), parts = given.parts && given.parts.map(map);
  return predictionOf({ ...given, maps, parts }, header, size, top);
})"""


def any_case(seed):
    """An output of any task and a header, full of ties: equal scores, whole maps, exact limits."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 15))
    names = tuple(f"class {index}" for index in range(count))
    tied = [
        rng.normal(0, 2, count),
        rng.integers(-2, 3, count),
        np.full(count, rng.normal()),
        rng.normal(0, 300, count),  # scores of exactly 0 and 1
        rng.integers(0, 2, count) * 40,
    ]
    logits = np.asarray(tied[rng.integers(len(tied))], np.float32)[None]
    task, kind = [("classification", "map"), ("multilabel", "step"), ("captioning", "word")][
        rng.integers(3)
    ]
    tokens = np.argsort(-logits[0], kind="stable")[: rng.integers(1, 6)]
    if task != "classification":
        tokens = rng.permutation(tokens)[: rng.integers(len(tokens) + 1)]
    shape = (1, len(tokens), *[(5, 4), (1, 1), (2, 2), (1, 6), (12, 9)][rng.integers(5)])
    maps = [rng.normal(0, 1, shape), rng.integers(-1, 3, shape), -rng.random(shape)]
    more = {"distances": np.array([rng.integers(1, 4)], np.float32)}
    if task == "captioning":
        more["token_scores"] = rng.random((1, len(tokens)), np.float32)
    elif task == "classification":
        corners = rng.choice([-1.2, -1, -0.5, 0.25, 1, 1.3], (1, 2, 4))
        more["boxes"] = corners.astype(np.float32)
        more["box_scores"] = rng.random((1, 2), np.float32)
        more["part_maps"] = rng.integers(0, 3, (1, 2, 3, 3)).astype(np.float32)
    groups = {name: f"group {rng.integers(3)}" for name in names if rng.random() < 0.7}
    groups |= {f"group {index}": "all" for index in range(2)}
    header = ModelHeader(
        "cam",
        {},
        task,
        names,
        Preprocessing((12, 9)),
        box_threshold=float(rng.choice([0.2, 0.25, 0.5])),
        box_rule=str(rng.choice(["max", "range"])),
        evidence_kind=kind,
        box_kind=str(rng.choice(["scale", "place"])),
        parents=groups,
        calibration=Calibration(
            float(rng.choice([0.5, 1.0, 1.7])),
            evidence=float(rng.choice([0.0, 1.0, 2.0])),
            distance=float(rng.choice([1.0, 2.1])),
        ),
    )
    given = np.asarray(maps[rng.integers(3)], np.float32)
    output = ArrayOutput(logits, given, tokens[None].astype(np.int64), **more)
    return output, header, tuple(rng.integers(1, 400, 2).tolist())


@needs_node
def test_whatever_is_given_answers_are_those_of_python():
    cases = [any_case(seed) for seed in range(400)]
    found = node(
        SCRIPTS,
        EVERY,
        cases=[
            {"found": found_by(output), "header": _header(header), "size": size, "top": 4}
            for output, header, size in cases
        ],
    )
    groups, refusals = 0, 0
    for seed, ((output, header, size), answer) in enumerate(zip(cases, found, strict=True)):
        (wanted,) = predictions(output, header, [size], 4)
        same(answer, wanted.to_dict(), f"case {seed}")
        groups += wanted.group is not None
        refusals += wanted.refusal is not None
    assert groups > 20
    assert refusals > 20


@needs_node
def test_a_model_that_rules_every_class_out_gives_no_answer():
    output = drawn()._replace(logits=np.full((1, 7), -np.inf, np.float32))
    with pytest.raises(AssertionError, match="answer to it is not a number"):
        in_browser(output, HEADER)


@needs_node
def test_numbers_are_rounded_as_python_rounds_them():
    halves = [0.125, 0.375, 322.625, 322.875, 1.005, 2.675, 7.0, 0.1 + 0.2]
    assert node(SCRIPTS, "values.map(hundredths)", values=halves) == [
        round(value, 2) for value in halves
    ]
    wholes = [0.5, 1.5, 2.5, 3.2, 0.0]
    assert node(SCRIPTS, "values.map(rint)", values=wholes) == np.rint(wholes).tolist()
