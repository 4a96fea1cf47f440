"""A foreign reader, PyPI openvino-model-api: it opens the files unchanged and sees the same."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest

from lookcloser.core.calibration import Calibration
from lookcloser.export import build_onnx, save
from lookcloser.export.model_api import model_info
from lookcloser.runtime.onnx import load
from lookcloser.runtime.onnx_file import Parts

from .conftest import TEMPERATURE, drawn_pixels, header_of, make_engine

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the packages that it imports
    model_api = pytest.importorskip("model_api.models", reason="openvino-model-api is missing")


# OpenVINO computes in bfloat16 where the processor can.
TOLERANCE = {"onnxruntime": 1e-5, "openvino": 2e-2}


def opened(path, engine):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if engine == "openvino":
            return model_api.Model.create_model(str(path))
        from model_api.adapters import ONNXRuntimeAdapter

        return model_api.Model.create_model(ONNXRuntimeAdapter(str(path)))


# OpenVINO's own GatherElements wants indices as many as rows, so that it refuses a cnnrnn.
PAIRS = [(case, "openvino") for case in ("cam", "sigmoid", "racnn")]
PAIRS += [(case, "onnxruntime") for case in ("cam", "sigmoid", "osme", "racnn", "cnnrnn")]


@pytest.mark.parametrize(("case", "engine"), PAIRS)
def test_it_gives_the_same_labels_and_the_same_saliency_map(exported, case, engine):
    made = exported(case)
    reader, ours = opened(made.path, engine), load(made.path, threads=1)
    share = TOLERANCE[engine]
    for pixels in drawn_pixels(3):
        found = reader(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        seen = ours.engine.evidence(pixels[None], np.arange(9)[None])
        span = float(np.ptp(seen.maps))
        assert np.abs(found.saliency_map - seen.maps).max() <= share * span
        scores = np.take_along_axis(seen.token_scores, seen.tokens, axis=1)[0]
        if made.engine.header.task == "multilabel":
            threshold = ours.engine.file.parts.threshold or 0.5
            assert [label.id for label in found.top_labels] == np.flatnonzero(
                scores > threshold
            ).tolist()
        else:
            (best,) = found.top_labels
            assert best.id == scores.argmax()
            assert best.name == f"class_{best.id}"
            assert best.confidence == pytest.approx(scores.max(), abs=share)
        assert found.feature_vector.shape[0] == 1


def test_it_sees_the_calibrated_score(exported, tmp_path):
    engine = exported("cam").engine
    header = dataclasses.replace(engine.header, calibration=Calibration(TEMPERATURE))
    path, pixels = tmp_path / "calibrated.onnx", drawn_pixels(3)
    save(build_onnx(engine.model, header), path)
    reader, ours = opened(path, "onnxruntime"), load(path, threads=1)
    for one in pixels:
        (best,) = reader(np.ascontiguousarray(one.transpose(1, 2, 0))).top_labels
        (answer,) = ours.predict(one.transpose(1, 2, 0))
        assert best.id == answer.labels[0].index
        assert best.confidence == pytest.approx(answer.labels[0].score, abs=1e-5)


def test_names_hold_no_blank_and_stay_apart_from_the_true_ones():
    header = header_of(make_engine("cam").model, 3)
    named = header.__class__(**{**vars(header), "names": ("a b", " c\td ", "")})
    found = model_info(named, Parts())
    assert found["model_info labels"].split() == ["a_b", "c_d", "_"]
    assert "model_info mean_values" not in found


def test_of_captions_it_is_told_nothing():
    assert model_info(header_of(make_engine("rnn").model, 3), Parts()) == {}
