"""Every method: the file and the network give the same answers, whatever the batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from lookcloser.core import LookcloserError
from lookcloser.core.calibration import Calibration
from lookcloser.export import graphs, write_onnx
from lookcloser.export import onnx as writing
from lookcloser.runtime import label_scores, predictions
from lookcloser.runtime.answering import softmax
from lookcloser.runtime.onnx import load

from .conftest import CASES, TEMPERATURE, drawn_pixels

# Answers of several tokens.
SEQUENCES = ("sigmoid", "cnnrnn", "cnnrnn exact", "rnn", "gru drawn", "lstm attending")
# Answers that looked into boxes.
BOXES = ("racnn", "racnn by evidence", *(c for c in CASES if c.endswith("looking twice")))


def close(found, wanted):
    """Equal up to rounding, number by number."""
    if isinstance(wanted, float):
        return found == pytest.approx(wanted, abs=2e-4)
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(close(found[k], wanted[k]) for k in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(close, found, wanted))
    return found == wanted


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_the_file_predicts_what_the_network_predicts(exported, case, batch):
    made = exported(case)
    recognizer = load(made.path, threads=1)
    pixels, sizes = drawn_pixels(batch), [(60, 40)] * batch
    found, wanted = (
        list(predictions(engine.answer(pixels, 4), made.engine.header, sizes, 4))
        for engine in (recognizer.engine, made.engine)
    )
    assert recognizer.names == made.engine.header.names
    for one, other in zip(found, wanted, strict=True):
        assert close(one.to_dict(), other.to_dict())
    if batch == 8:
        assert any(prediction.regions for prediction in found), "there is evidence to compare"


@pytest.mark.parametrize("case", CASES)
def test_differences_are_rounding(exported, case):
    found = exported(case).differences
    assert found.logits < 1e-4
    assert found.maps is not None
    assert found.maps < 1e-4
    assert (found.scores is None) == (case not in SEQUENCES)
    assert (found.boxes is None) == (case not in BOXES)
    assert (found.box_scores is None) == (case not in BOXES)
    assert (found.distances is None) == (case not in ("cam in closed form", "osme looking twice"))
    for value in (found.box_scores, found.distances):
        assert value is None or value < 1e-4
    assert (found.sequences, found.moved) == (0, 0)


def test_scores_are_at_the_temperature_of_the_model(exported, tmp_path):
    engine = exported("cam").engine
    header = replace(engine.header, calibration=Calibration(TEMPERATURE))
    path, pixels = tmp_path / "hot.onnx", drawn_pixels(3)
    engine = replace(engine, header=header)
    write_onnx(engine.model, header, path, reference=engine, pixels=pixels)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    assert names[0] == "scores", "what others take for the answer"
    found = dict(zip(names, session.run(None, {"image": pixels.astype(np.float32)}), strict=True))
    wanted = label_scores(engine.answer(pixels, 1).logits, header)
    np.testing.assert_allclose(found["scores"], wanted, atol=1e-5)
    assert np.abs(found["scores"] - softmax(found["logits"])).max() > 0.01
    (first, *_), (second, *_) = (
        list(predictions(one.answer(pixels, 4), header, [(60, 40)] * 3, 4))
        for one in (load(path, threads=1).engine, engine)
    )
    assert close(first.to_dict(), second.to_dict())


def test_distances_that_decide_on_a_refusal_are_in_the_file(exported):
    made = exported("cam in closed form")
    pixels = drawn_pixels(3)
    found, wanted = (
        engine.answer(pixels, 1).distances
        for engine in (load(made.path, threads=1).engine, made.engine)
    )
    assert wanted.min() > 0
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_exact_search_keeps_its_certificate(exported):
    made = exported("cnnrnn exact")
    pixels = drawn_pixels(5)
    found = load(made.path, threads=1).engine.answer(pixels, 1).certified
    assert found is not None
    assert found.tolist() == made.engine.answer(pixels, 1).certified.tolist()
    assert found.all()


@pytest.mark.parametrize("case", CASES)
def test_outputs_have_the_names_and_the_order_that_others_read(exported, case):
    made = exported(case)
    model = onnx.load(made.path)
    onnx.checker.check_model(model)
    names = [output.name for output in model.graph.output]
    assert names[:2] == ["logits", "scores"]
    assert len(names) <= 5
    assert ("saliency_map" in names) == (made.engine.header.task != "captioning")
    # Boxes and distances leave no room for it among five.
    assert ("feature_vector" in names) != ("boxes" in names and "distances" in names)
    assert ("boxes" in names) == (case in BOXES)
    assert ("part_maps" in names) == (case in ("osme", "feedback"))
    assert [item.name for item in model.graph.input] == ["image"]


@pytest.mark.parametrize("case", ["cam", "lstm attending"])
def test_a_file_names_nothing_of_the_machine_it_was_made_on(exported, case):
    data = exported(case).path.read_bytes()
    for trace in (b"stack_trace", b".py", b"site-packages", b"Users", b"/home"):
        assert trace not in data


def test_the_same_network_gives_the_same_file(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "image_graph", graphs.image_graph)  # not the one of before
    made = exported("sigmoid")
    again = tmp_path / "again.onnx"
    write_onnx(
        made.engine.model,
        made.engine.header,
        again,
        reference=made.engine,
        pixels=drawn_pixels(1),
    )
    assert again.read_bytes() == made.path.read_bytes()


class Stubborn:
    """An engine whose logits are a little off."""

    def __init__(self, engine):
        self.engine, self.header = engine, engine.header

    def answer(self, pixels, top):
        found = self.engine.answer(pixels, top)
        return found._replace(logits=found.logits + np.float32(0.1))

    def evidence(self, pixels, tokens):
        found = self.engine.evidence(pixels, tokens)
        return found._replace(logits=found.logits + np.float32(0.1))


def test_a_file_that_answers_otherwise_is_not_kept(exported, tmp_path):
    engine = exported("cam").engine
    path = tmp_path / "birds.onnx"
    path.write_bytes(b"what was here before")
    with pytest.raises(LookcloserError, match=r"in its logits \(.*not kept"):
        write_onnx(
            engine.model, engine.header, path, reference=Stubborn(engine), pixels=drawn_pixels(2)
        )
    assert [file.name for file in tmp_path.iterdir()] == ["birds.onnx"]
    assert path.read_bytes() == b"what was here before"


@pytest.mark.parametrize("value", [{"maps": float("nan")}, {"boxes": 0.6}, {"sequences": 1}])
def test_what_is_more_than_rounding_is_refused(exported, value):
    found = replace(exported("cam").differences, scores=0.0, **value)
    with pytest.raises(LookcloserError, match=next(iter(value))):
        found.require_equal("file.onnx")


def test_the_network_stays_as_it_was(exported):
    engine = exported("cam").engine
    assert not engine.model.training
    assert all(parameter.requires_grad for parameter in engine.model.parameters())
