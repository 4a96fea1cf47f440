"""The header of a model file: what is written is read, and what is damaged is refused."""

import json
from dataclasses import replace

import pytest

from lookcloser.core import header
from lookcloser.core.calibration import Calibration
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.header import (
    FORMAT,
    ModelHeader,
    check_known,
    header_text,
    parse_header,
    with_box_rule,
)
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
    box_kind="place",
    provenance={"seed": 3},
)


def test_a_header_is_read_as_it_was_written():
    assert parse_header("a.onnx", header_text(HEADER)) == HEADER


def test_a_header_without_newer_fields_is_read():
    values = json.loads(header_text(HEADER))
    for name in ("evidence_kind", "box_kind", "box_threshold", "calibration"):
        del values[name]
    found = parse_header("old", json.dumps(values))
    assert found.calibration == Calibration()
    assert (found.evidence_kind, found.box_kind, found.box_threshold) == ("map", "scale", 0.2)


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


def test_another_box_rule_comes_with_its_own_share():
    assert HEADER.box_rule == "range"
    for same in (None, "range"):
        assert with_box_rule(HEADER, same) is HEADER
    other = with_box_rule(HEADER, "max")
    assert (other.box_rule, other.box_threshold) == ("max", 0.2)
    assert replace(other, box_rule="range", box_threshold=0.35) == HEADER
    with pytest.raises(UsageError, match="rnge: unknown box rule. Close: range"):
        with_box_rule(HEADER, "rnge")


@pytest.mark.parametrize(
    "change",
    [
        {"method": 3},
        {"arguments": []},
        {"arguments": {"num_classes": 3}},
        {"task": "dreaming"},
        {"task": ["classification"]},
        {"names": ["Ente", 3]},
        {"names": "Ente"},
        {"box_threshold": 1.5},
        {"box_threshold": "0.2"},
        {"box_threshold": 10**400},
        {"box_rule": "mean"},
        {"calibration": []},
        {"scores": {"top1": True}},
        {"scores": {"top1": float("inf")}},
        {"evidence_kind": "dream"},
        {"box_kind": "map"},
        {"parents": {"Ente": 3}},
        {"parents": ["Ente"]},
        {"provenance": "a shop"},
        {"version": 3},
        {"preprocessing": None},
    ],
)
def test_every_field_has_to_be_of_its_kind(change):
    values = json.loads(header_text(HEADER)) | change
    with pytest.raises(LookcloserError, match="its header is damaged"):
        parse_header("m", json.dumps(values))


@pytest.mark.parametrize(
    "change",
    [
        {"size": [0, 32]}, {"size": [4097, 32]}, {"size": [32.0, 32]}, {"size": [True, 32]},
        {"size": "32"},
        {"mean": [0.5, 0.5]}, {"mean": [0.5, 0.5, None]}, {"std": [0.1, 0.0, 0.1]},
        {"std": [0.1, -0.1, 0.1]}, {"interpolation": "lanczos"}, {"interpolation": None},
    ],
)  # fmt: skip
def test_images_have_to_be_made_ready_in_a_way_that_is_possible(change):
    values = json.loads(header_text(HEADER))
    values["preprocessing"] |= change
    with pytest.raises(LookcloserError, match="its header is damaged"):
        parse_header("m", json.dumps(values))


def test_what_a_later_version_added_within_the_format_is_passed_over():
    values = json.loads(header_text(HEADER)) | {"mood": "good"}
    values["preprocessing"]["gamma"] = 2.2
    assert parse_header("m", json.dumps(values)) == HEADER


def test_a_header_that_would_take_all_memory_is_not_parsed(monkeypatch):
    text = header_text(HEADER)
    monkeypatch.setattr(header, "LARGEST_HEADER", len(text))
    assert parse_header("m", text) == HEADER
    monkeypatch.setattr(header, "json", None)  # nothing of it is used
    with pytest.raises(LookcloserError, match="its header is damaged"):
        parse_header("m", f"{text} ")
