"""The header of a model file: what is written is read, and what is damaged is refused."""

import json

import pytest

from lookcloser.core.calibration import Calibration
from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import FORMAT, ModelHeader, check_known, header_text, parse_header
from lookcloser.core.preprocessing import Preprocessing

HEADER = ModelHeader(
    "cam",
    {"num_classes": 2, "backbone": "test_resnet"},
    "classification",
    ("Ente", "鴨"),
    Preprocessing((32, 64), (0.5, 0.5, 0.5), (0.1, 0.2, 0.3), "bicubic"),
    box_threshold=0.35,
    calibration=Calibration(2.5, 40, (0.25,) * 50, (0.75,) * 50, evidence=-1.5, distance=30.0),
    scores={"top1": 0.5},
    evidence_kind="step",
    provenance={"seed": 3},
)


def test_a_header_is_read_as_it_was_written():
    assert parse_header("a.onnx", header_text(HEADER)) == HEADER


def test_a_header_without_newer_fields_is_read():
    values = json.loads(header_text(HEADER))
    del values["evidence_kind"], values["box_threshold"], values["calibration"]
    found = parse_header("old", json.dumps(values))
    assert found.calibration == Calibration()
    assert (found.evidence_kind, found.box_threshold) == ("map", 0.2)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "{", "null", "[" * 100_000,
        header_text(HEADER).replace("[32, 64]", "[32]"),
        header_text(HEADER).replace("[32, 64]", "[32, 99999]"),
        header_text(HEADER).replace("[0.1, 0.2, 0.3]", '"abc"'),
        header_text(HEADER).replace('"temperature": 2.5', '"temperature": 0'),
        header_text(HEADER).replace('"images": 40', '"images": Infinity'),
        header_text(HEADER).replace('"distance": 30.0', '"distance": NaN'),
        header_text(HEADER).replace('"lac": [0.25, ', '"lac": ['),
        header_text(HEADER).replace('"names": ["Ente", "鴨"]', '"names": 7'),
    ],
)  # fmt: skip
def test_a_damaged_header_is_named(text):
    with pytest.raises(LookcloserError, match=r"m\.onnx: its header is damaged"):
        parse_header("m.onnx", text)


@pytest.mark.parametrize("written", [FORMAT + 1, "2", None])
def test_a_newer_format_asks_for_an_upgrade(written):
    values = json.loads(header_text(HEADER)) | {"format": written, "version": "9.9"}
    with pytest.raises(LookcloserError, match="lookcloser 9.9 in format"):
        parse_header("m", json.dumps(values))


def test_classes_that_the_model_does_not_know_are_named():
    check_known(["Ente"], HEADER)
    with pytest.raises(LookcloserError, match="Gans: a class of the data.*2 such"):
        check_known(["Huhn", "Ente", "Gans"], HEADER)
