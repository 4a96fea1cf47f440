"""What a file is compared, calibrated and measured on, and where it goes; nothing is exported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lookcloser.core import LookcloserError
from lookcloser.core.errors import UsageError
from lookcloser.data import Catalog, read_data
from lookcloser.export import Differences
from lookcloser.recognizer import Recognizer, exporting
from lookcloser.recognizer.exporting import ExportResult, export_run
from tests.stock import stock


class TestPlaces:
    def test_without_a_wish_the_file_goes_into_the_run(self, of_run: Recognizer) -> None:
        assert of_run.folder is not None
        assert exporting._path(of_run, None) == of_run.folder / "model.onnx"

    def test_a_name_may_be_in_capitals_and_begin_at_home(
        self, alone: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))
        assert exporting._path(alone, "~/a/M.ONNX") == tmp_path / "a" / "M.ONNX"

    @pytest.mark.parametrize("out", ["m.pt", "m", "onnx", "m.onnx.txt"])
    def test_another_ending_is_refused(self, of_run: Recognizer, out: str) -> None:
        with pytest.raises(UsageError, match=rf"{out}: not the name of an ONNX file"):
            exporting._path(of_run, out)

    @pytest.mark.parametrize("form", ["onnx", "web"])
    def test_a_single_file_has_no_place_of_its_own(self, alone: Recognizer, form: str) -> None:
        pytest.importorskip("onnxscript", reason="export asks for its extra first")
        with pytest.raises(UsageError, match="has no folder of its own. Give --out"):
            alone.export(form=form)

    def test_a_page_is_called_as_its_run_as_timm_does_or_as_its_folder(
        self, of_run: Recognizer, alone: Recognizer, tmp_path: Path
    ) -> None:
        place = tmp_path / "pages"
        assert exporting._title(of_run, place) == "my run"
        assert exporting._title(alone, place) == "pages"
        assert exporting._title(stock("test_resnet", tmp_path), place) == "test_resnet"


class TestRefusals:
    def test_what_is_not_installed_is_named_with_the_way_to_get_it(
        self, alone: Recognizer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(exporting, "find_spec", lambda name: "x" if name == "onnx" else None)
        with pytest.raises(LookcloserError, match=r"needs onnxscript, onnxruntime, .*\[export\]"):
            alone.export("m.onnx")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"calibrate": "x"}, "--calibrate without --int8. Give --int8"),
            ({"ort": "cdn"}, "--ort without --format web"),
            ({"form": "pt"}, "pt: unknown format. There are: onnx, web"),
        ],
    )
    def test_options_that_do_nothing_are_refused(
        self, of_run: Recognizer, options: dict[str, Any], message: str
    ) -> None:
        pytest.importorskip("onnxscript", reason="export asks for its extra first")
        given = {"int8": False, "calibrate": None, "form": "onnx", "ort": None, **options}
        with pytest.raises(UsageError, match=message):
            export_run(of_run, None, **given)


class TestImages:
    def test_a_file_is_checked_on_images_far_from_training(
        self, of_run: Recognizer, squares: Path
    ) -> None:
        catalog = read_data(squares)
        found = exporting._images(of_run.engine, catalog, 5)
        assert found.source == f"5 images of test of {squares.name}"
        assert found.pixels.shape == (5, 3, 32, 32)
        trained = replace(catalog, samples=catalog.split("train"))
        assert " of train of " in exporting._images(of_run.engine, trained, 5).source

    @pytest.mark.parametrize("catalog", [None, Catalog(Path(), "", "classification", (), ())])
    def test_without_data_they_are_drawn(self, of_run: Recognizer, catalog: Catalog | None) -> None:
        found = exporting._images(of_run.engine, catalog, 400)
        assert found.source == "drawn images"
        assert len(found.pixels) == exporting.CHECKED, "however many were wanted"
        assert len(exporting._images(of_run.engine, catalog, 3).pixels) == 3

    def test_ranges_come_from_training_images_or_the_folder_that_is_named(
        self, of_run: Recognizer, squares: Path
    ) -> None:
        engine, catalog = of_run.engine, read_data(squares)
        pixels, words = exporting._calibration(engine, catalog, None)
        assert words == f"48 images of train of {squares.name}"
        assert pixels.dtype == np.uint8
        folder = squares / "test" / "red"
        pixels, words = exporting._calibration(engine, catalog, folder)
        assert (len(pixels), words) == (6, f"6 images of {folder}")
        with pytest.raises(LookcloserError, match="data of this run is not there.*--calibrate"):
            exporting._calibration(engine, None, None)

    def test_eight_bits_are_measured_on_the_data_before_the_folder(
        self, of_run: Recognizer, squares: Path
    ) -> None:
        engine, folder = of_run.engine, squares / "test" / "red"
        found = exporting._measured(engine, read_data(squares), folder)
        assert found.source == f"18 images of test of {squares.name}"
        assert found.labels is not None
        assert exporting._measured(engine, None, folder).source == f"6 images of {folder}"
        assert exporting._measured(engine, None, None).source == "drawn images"


def test_a_network_elsewhere_is_copied_and_stays_there(of_run: Recognizer) -> None:
    engine = of_run.engine
    assert exporting._on_cpu(engine) is engine
    elsewhere: Any = replace(engine, device=torch.device("meta"))
    moved = exporting._on_cpu(elsewhere)
    assert moved.device.type == "cpu"
    assert moved.model is not engine.model
    assert elsewhere.device.type == "meta"


def test_the_form_gets_the_arguments_in_its_order(
    of_run: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript", reason="export asks for its extra first")
    asked: list[Any] = []

    def written(*given: Any) -> ExportResult:
        asked.append(given)
        return ExportResult(Path("x"), Differences(0, 0.0), "")

    monkeypatch.setattr(exporting, "export_web", written)
    of_run.export("place", form="web", int8=True, calibrate="photos", ort="cdn")
    assert asked == [(of_run, "place", True, "photos", "cdn")]
