"""Runs in closed form that look twice."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import lookcloser as lc
from lookcloser.core.calibration import COLDEST
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.sizes import Grid
from lookcloser.models import Backbone, load_model_file, read_header
from lookcloser.recognizer import add, run_training
from lookcloser.training.options import make_options
from lookcloser.training.recipes import looks, zooming
from lookcloser.training.recipes.choice import planned_recipe
from lookcloser.training.recipes.closer import _Answers, fold_numbers
from lookcloser.training.recipes.finding import far_places, true_places
from tests.conftest import COLORS, paint


@pytest.fixture(scope="module")
def small_squares(tmp_path_factory):
    """Squares of 12 px in images of 96 px: at an input of 32 px they are 4 px."""
    root = tmp_path_factory.mktemp("data")
    rows = ["image,label,split,x0,y0,x1,y1"]
    for split, count in (("train", 12), ("test", 6)):
        for number in range(count):
            for index, name in enumerate(COLORS):
                folder = root / split / name
                folder.mkdir(parents=True, exist_ok=True)
                image, box = paint(name, 1000 * index + 100 * len(split) + number, size=96)
                image.save(folder / f"{number}.png")
                where = f"{split}/{name}/{number}.png"
                rows.append(f"{where},{name},{split},{','.join(map(str, box))}")
    (root / "boxes.csv").write_text("\n".join(rows) + "\n")
    return root


OPTIONS = {
    "backbone": "test_resnet", "weights": "none", "size": 32, "workers": 0, "stride": 8,
    "recipe": "closed-form",
}  # fmt: skip


@pytest.fixture(scope="module")
def looked(small_squares, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    return run_training(small_squares, out=out, quiet=True, zoom="2", **OPTIONS)


class TestRun:
    def test_the_header_says_so(self, looked):
        header = read_header(looked.folder / "model.safetensors")
        assert header.arguments["places"] == 2
        assert header.arguments["view"] == 32
        assert header.preprocessing.size == (64, 64), "the source's resolution"
        assert header.calibration.images == 36
        assert header.provenance["zoom"].startswith("2 places of")
        assert 0 <= header.scores["left_out_acc"] <= 1

    def test_an_answer_has_the_places_as_evidence(self, looked, small_squares):
        prediction = lc.load(looked.folder).predict(small_squares / "test" / "red" / "0.png")[0]
        places = [region for region in prediction.regions if region.kind == "place"]
        assert [region.step for region in places] == [0, 1]
        for region in places:
            x0, y0, x1, y1 = region.box
            assert 0 <= x0 < x1 <= 96
            assert 0 <= y0 < y1 <= 96
            assert 0 <= region.score <= 1
        assert prediction.regions[0].heatmap.max() in {0, 1}

    def test_it_is_scored_and_drawn_like_every_run(self, looked, small_squares):
        recognizer = lc.load(looked.folder)
        metrics = recognizer.evaluate(small_squares)
        assert {"top1", "top1 whole image", "top1 place 2", "pointing place 1"} <= metrics.keys()
        assert not [name for name in metrics if "scale" in name], "no place is inside another"
        page = recognizer.report(small_squares).path.read_text(encoding="utf-8")
        assert "2 places of" in page
        assert "place 1: " in page
        assert "What would move the boxes" not in page, "no derivative chose a place"
        views = recognizer.explain(small_squares / "test" / "red" / "0.png")
        assert {"cam", "saliency"} <= views.keys()
        moved = recognizer.explain(small_squares / "test" / "red" / "0.png", ["derivative"])
        assert list(moved) == ["derivative"]

    def test_no_box_of_evidence_reaches_where_it_did_not_look(self, looked, small_squares):
        recognizer = lc.load(looked.folder)
        a_place = 96 / 8  # of the canvas of the maps
        seen = 0
        for prediction in recognizer.predict(small_squares / "test", top=3):
            boxes = np.array([r.box for r in prediction.regions if r.kind == "place"])
            low, high = boxes[:, :2].min(axis=0) - a_place, boxes[:, 2:].max(axis=0) + a_place
            for region in prediction.regions:
                if region.kind == "map" and region.box is not None:
                    assert (np.array(region.box[:2]) >= low).all()
                    assert (np.array(region.box[2:]) <= high).all()
                    seen += 1
        assert seen > 10

    def test_the_same_options_give_the_same_bytes(self, looked, small_squares, tmp_path):
        again = run_training(small_squares, out=tmp_path / "a", quiet=True, zoom="2", **OPTIONS)
        files = (run.folder / "model.safetensors" for run in (looked, again))
        first, second = (file.read_bytes() for file in files)
        assert first == second

    def test_nothing_can_be_added(self, looked, small_squares):
        with pytest.raises(LookcloserError, match="looks twice"):
            add(looked.folder, small_squares)

    def test_heads_are_at_their_temperature(self, looked):
        model, header = load_model_file(looked.folder / "model.safetensors")
        assert float(model.closer.temperature) > 0
        assert model.solution.rank > 0
        assert header.calibration.distance is not None


def test_a_few_images_that_are_all_right_are_no_certainty():
    classes = np.arange(12) % 3
    logits = 9 * np.eye(3, dtype=np.float32)[classes]
    calibration, right, loss = _Answers(logits, np.ones(12, np.float32), classes).rates()
    assert right == 1
    assert calibration.temperature > 100 * COLDEST
    assert 0 < loss < 0.01


class TestAuto:
    def test_images_without_more_pixels_are_not_looked_at_again(self, squares, tmp_path):
        run = run_training(squares, out=tmp_path / "a", quiet=True, **OPTIONS)
        assert run.recognizer.header.arguments["places"] == 0
        assert "images of 32 px" in run.recognizer.header.provenance["zoom"]

    @pytest.fixture
    def unsure(self, monkeypatch):
        """Colors are seen at any size: as if there were room for more."""
        monkeypatch.setattr(zooming, "GAIN", -1.0)

    @pytest.mark.usefixtures("unsure")
    def test_the_budget_is_kept(self, small_squares, tmp_path):
        run = run_training(small_squares, out=tmp_path / "a", quiet=True, budget=0, **OPTIONS)
        assert run.recognizer.header.arguments["places"] == 0
        assert "--budget" in run.recognizer.header.provenance["zoom"]

    @pytest.mark.usefixtures("unsure")
    @pytest.mark.parametrize(("accuracy", "places"), [(0.0, 0), (2.0, 3)])
    def test_it_is_used_where_images_left_out_say_so(
        self, small_squares, tmp_path, monkeypatch, accuracy, places
    ):
        real = zooming.solve_closer

        def rated(*given, **named):
            return replace(real(*given, **{**named, "enough": -1.0}), accuracy=accuracy)

        monkeypatch.setattr(zooming, "solve_closer", rated)
        run = run_training(small_squares, out=tmp_path / "a", quiet=True, **OPTIONS)
        assert run.recognizer.header.arguments["places"] == places

    def test_nothing_is_tried_where_all_is_right(self, small_squares, tmp_path):
        run = run_training(small_squares, out=tmp_path / "a", quiet=True, **OPTIONS)
        assert run.recognizer.header.provenance["zoom"].endswith("are right without")

    @pytest.mark.usefixtures("unsure")
    def test_it_stops_where_true_places_are_no_better(self, small_squares, tmp_path, monkeypatch):
        monkeypatch.setattr(zooming, "solve_closer", lambda *given, **named: 0.25)
        run = run_training(small_squares, out=tmp_path / "a", quiet=True, **OPTIONS)
        assert "25.0%" in run.recognizer.header.provenance["zoom"]
        assert run.recognizer.header.arguments["places"] == 0

    @pytest.mark.usefixtures("unsure")
    def test_a_backbone_of_one_size_looks_once(self, small_squares, tmp_path, monkeypatch):
        def check(_backbone, size, _batch=2):
            if size != (32, 32):
                raise LookcloserError(f"images of {size}")

        monkeypatch.setattr(Backbone, "check", check)
        run = run_training(small_squares, out=tmp_path / "a", quiet=True, **OPTIONS)
        assert run.recognizer.header.provenance["zoom"] == "not tried; images of 64×64"
        with pytest.raises(UsageError, match="images of"):
            run_training(small_squares, out=tmp_path / "b", quiet=True, zoom="1", **OPTIONS)

    @pytest.mark.usefixtures("unsure")
    def test_a_disk_without_room(self, small_squares, tmp_path, monkeypatch):
        usage = SimpleNamespace(free=10_000)
        monkeypatch.setattr(looks.shutil, "disk_usage", lambda place: usage)
        run = run_training(small_squares, out=tmp_path / "a", quiet=True, **OPTIONS)
        assert "GB" in run.recognizer.header.provenance["zoom"]
        assert run.recognizer.header.arguments["places"] == 0
        with pytest.raises(LookcloserError, match="TMPDIR"):
            run_training(small_squares, out=tmp_path / "b", quiet=True, zoom="1", **OPTIONS)

    def test_off(self, small_squares, tmp_path):
        run = run_training(small_squares, out=tmp_path / "a", quiet=True, zoom="off", **OPTIONS)
        assert run.recognizer.header.arguments["places"] == 0
        assert "zoom" not in run.recognizer.header.provenance


class TestWishes:
    def test_a_second_look_of_fine_tuning(self):
        options = make_options(zoom="3", recipe="fine-tune")
        assert planned_recipe(options, "classification") == "fine-tune"

    def test_a_second_look_of_tags(self):
        with pytest.raises(UsageError, match="not for multilabel"):
            planned_recipe(make_options(zoom="3", recipe="closed-form"), "multilabel")

    def test_auto_and_off_go_with_everything(self):
        for zoom in ("auto", "off"):
            options = make_options(zoom=zoom, recipe="fine-tune")
            assert planned_recipe(options, "classification") == "fine-tune"

    def test_another_number(self):
        with pytest.raises(UsageError, match="zoom"):
            make_options(zoom="6")

    def test_one_image_a_class(self, small_squares, tmp_path):
        for name in COLORS:
            for split in ("train", "test"):
                source = small_squares / split / name / "0.png"
                folder = tmp_path / "data" / split / name
                folder.mkdir(parents=True)
                (folder / "0.png").write_bytes(source.read_bytes())
        options = {**OPTIONS, "zoom": "1"}
        with pytest.raises(LookcloserError, match="o class has two images"):
            run_training(tmp_path / "data", out=tmp_path / "run", quiet=True, **options)


def test_folds_spread_every_class():
    classes = np.array([0] * 7 + [1] + [2] * 2)
    folds = fold_numbers(classes)
    assert folds.tolist() == [0, 1, 2, 3, 4, 0, 1, -1, 0, 1]


def test_the_true_place_is_the_peak_of_the_true_map():
    import torch

    features = torch.zeros(2, 3, 9, 9)
    features[0, 1, 2, 6], features[1, 0, 7, 3] = 5, 5
    weights = torch.tensor([[0.0, 1, 0], [1, 0, 0]])
    boxes = true_places(features, weights, 0.2)[:, 0]
    xs, ys = boxes[:, 0], boxes[:, 1]
    # The peak of the smoothed map is the place or one beside it.
    assert (xs - torch.tensor([4 / 9, -2 / 9])).abs().max() <= 2 / 9 + 1e-6
    assert (ys - torch.tensor([-4 / 9, 6 / 9])).abs().max() <= 2 / 9 + 1e-6


class TestElsewhere:
    def test_it_is_no_part_of_a_crop_around_the_peak(self):
        places = far_places(5 * 10 + 5, Grid(10, 10), 0.4)
        rows, columns = places // 10, places % 10
        assert (np.maximum(abs(rows - 5), abs(columns - 5)) > 3).all()
        assert len(places) == 100 - 49

    def test_a_grid_without_a_far_place_has_its_corners(self):
        assert far_places(0, Grid(2, 2), 0.9).tolist() == [1, 2, 3]
