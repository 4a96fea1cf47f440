"""Runs that are solved, fine-tuned, or the better of both."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import lookcloser as lc
from lookcloser.core import LookcloserError
from lookcloser.models import read_header
from lookcloser.recognizer import run_training
from lookcloser.training.options import make_options
from lookcloser.training.recipes import choice as recipes
from lookcloser.training.recipes.choice import default_method, planned_recipe
from lookcloser.training.recipes.features import collect_features


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of first weights, so that a recipe may be chosen."""
    from safetensors.torch import save_file

    from lookcloser.models import Backbone

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_file(Backbone("test_resnet").net.state_dict(), path)
    return path


@pytest.fixture
def solved(squares, quick, tmp_path):
    options = {**quick, "stride": None, "recipe": "closed-form"}
    return run_training(squares, out=tmp_path / "run", quiet=True, **options)


class TestClosedForm:
    def test_it_is_an_ordinary_run(self, solved, squares):
        recognizer = lc.load(solved.folder)
        assert recognizer.header.method == "cam"
        assert recognizer.header == solved.recognizer.header
        prediction = recognizer.predict(squares / "test" / "red" / "0.png")[0]
        assert len(prediction.labels) == 3
        assert prediction.regions[0].heatmap.max() in {0, 1}
        assert recognizer.evaluate(squares)["top1"] > 0.6, "colors, by random features"
        page = recognizer.report(squares).path
        assert "closed-form" in page.read_text(encoding="utf-8")

    def test_the_header_says_how_it_came_about(self, solved):
        package = solved.recognizer.header
        assert package.provenance["recipe"] == "closed-form"
        assert package.provenance["images"] == 48
        assert 0 < package.provenance["shrinkage"] <= 1
        assert package.provenance["why this recipe"] == "asked for"
        assert package.scores["left_out_acc"] > 0.5
        assert package.calibration.images == 48

    def test_the_same_options_give_the_same_bytes(self, solved, squares, quick, tmp_path):
        options = {**quick, "stride": None, "recipe": "closed-form"}
        again = run_training(squares, out=tmp_path / "again", quiet=True, **options)
        files = (r.folder / "model.safetensors" for r in (solved, again))
        first, second = (file.read_bytes() for file in files)
        assert first == second

    def test_resuming_a_finished_run_changes_nothing(self, solved):
        file = solved.folder / "model.safetensors"
        before = file.read_bytes()
        lc.train(resume=solved.folder, quiet=True)
        assert file.read_bytes() == before

    def test_what_cannot_be_read_is_listed(self, squares, quick, tmp_path):
        data = shutil.copytree(squares, tmp_path / "data")
        (data / "train" / "red" / "0.png").write_bytes(b"no image")
        options = {**quick, "recipe": "closed-form"}
        result = run_training(data, out=tmp_path / "run", quiet=True, **options)
        assert list(result.skipped) == ["train/red/0.png"]
        assert result.recognizer.header.provenance["images"] == 47

    def test_no_image_that_can_be_read(self, squares, quick, tmp_path):
        data = shutil.copytree(squares / "train", tmp_path / "data")
        for file in data.glob("*/*.png"):
            file.write_bytes(b"no image")
        with pytest.raises(LookcloserError, match="None of the"):
            lc.train(data, out=tmp_path / "run", quiet=True, **{**quick, "recipe": "closed-form"})
        assert not (tmp_path / "run").exists()

    def test_val_that_the_data_brings_along_is_not_learned_from(self, squares, quick, tmp_path):
        """16 of train and 4 of val a class: 48 images, not 60."""
        options = {**quick, "recipe": "closed-form"}
        given = run_training(squares, out=tmp_path / "a", quiet=True, **options)
        assert given.recognizer.header.provenance["images"] == 48

    def test_no_image_is_left_out_for_a_val_that_nobody_needs(self, squares, quick, tmp_path):
        shutil.copytree(squares / "train", tmp_path / "data")
        options = {**quick, "recipe": "closed-form", "test_share": 0.25}
        made = run_training(tmp_path / "data", out=tmp_path / "b", quiet=True, **options)
        assert made.recognizer.header.provenance["images"] == 36
        scored = made.recognizer.catalog(tmp_path / "data")
        assert scored.splits == ("train", "test"), (
            "every image of a val would be one it has learned"
        )


class TestTags:
    def test_one_ridge_for_each_tag(self, tmp_path, quick):
        from lookcloser.data.scenes import write_scenes

        data = write_scenes(tmp_path, "tags", train=60, val=8, test=20)
        options = {**quick, "recipe": "closed-form", "size": 64}
        result = run_training(data, out=tmp_path / "run", quiet=True, **options)
        package = result.recognizer.header
        assert package.method == "sigmoid"
        assert package.calibration.temperature == 1, "it is in the head"
        scores = result.recognizer.evaluate(data)
        assert scores["mAP"] > 0.2
        assert result.recognizer.model.solution.memory().labels.sum(axis=1).max() > 1


class TestPlans:
    def plan(self, task="classification", **options):
        return planned_recipe(make_options(**options), task)

    def test_auto_needs_first_weights_and_a_method_with_a_closed_form(self):
        assert self.plan() == "auto"
        assert self.plan(weights="none") == "fine-tune"
        assert self.plan(method="racnn") == "fine-tune"
        assert self.plan(devices=2) == "fine-tune"
        assert self.plan("captioning") == "fine-tune"
        assert self.plan("multilabel", method="sigmoid") == "auto"
        assert self.plan("multilabel") == "fine-tune", "cnnrnn is the default of tags"

    def test_what_is_asked_for_is_done_or_refused(self):
        assert self.plan(recipe="fine-tune") == "fine-tune"
        assert self.plan(recipe="closed-form", weights="none") == "closed-form"
        with pytest.raises(LookcloserError, match="the method racnn has none.*cam or sigmoid"):
            self.plan(recipe="closed-form", method="racnn")
        with pytest.raises(LookcloserError, match="one device"):
            self.plan(recipe="closed-form", devices=2)
        with pytest.raises(LookcloserError, match="the method lstm has none"):
            self.plan("captioning", recipe="closed-form")

    def test_the_method_follows_from_the_recipe(self):
        closed = make_options(recipe="closed-form")
        assert default_method(closed, "multilabel") == "sigmoid"
        assert default_method(make_options(), "multilabel") == "cnnrnn"


class TestAuto:
    def run(self, squares, quick, weights, folder, **options):
        given = {**quick, "weights": str(weights), "stride": None, **options}
        return run_training(squares, out=folder, quiet=True, **given)

    def test_a_budget_that_is_too_small(self, squares, quick, weights, tmp_path):
        monkey = {"budget": 0.0}
        data = many_val(squares, tmp_path / "data")
        result = self.run(data, quick, weights, tmp_path / "run", **monkey)
        why = result.recognizer.header.provenance["why this recipe"]
        assert "more than --budget 0" in why
        assert not (tmp_path / "run" / "fine-tune").exists()

    def test_too_few_images_to_compare_by(self, squares, quick, weights, tmp_path):
        result = self.run(squares, quick, weights, tmp_path / "run")  # 12 of val
        assert (
            "12 images of val cannot tell"
            in (result.recognizer.header.provenance["why this recipe"])
        )

    @pytest.mark.parametrize("tuned", [1.5, 0.0])
    def test_the_better_on_val_stays(self, squares, quick, weights, tmp_path, monkeypatch, tuned):
        data = many_val(squares, tmp_path / "data")
        header = read_header
        monkeypatch.setattr(recipes, "read_header", lambda path: pretend(header(path), tuned))
        result = self.run(data, quick, weights, tmp_path / "run", epochs=1)
        provenance = result.recognizer.header.provenance
        assert provenance["recipe"] == ("fine-tune" if tuned else "closed-form")
        assert f"{tuned:.1%} fine-tuned, 24 images" in provenance["why this recipe"]
        assert (tmp_path / "run" / "metrics.csv").exists() == bool(tuned)
        assert result.recognizer.header.calibration.images > 0
        before = (tmp_path / "run" / "model.safetensors").read_bytes()
        lc.train(resume=tmp_path / "run", quiet=True)
        assert (tmp_path / "run" / "model.safetensors").read_bytes() == before

    def test_as_many_right_on_val_is_not_better(
        self, squares, quick, weights, tmp_path, monkeypatch
    ):
        """A share as a mean over batches, in float32, is a little more than the same share."""
        data, ours = many_val(squares, tmp_path / "data"), []
        real = recipes.solved_run

        def noted(*arguments, **options):
            found = real(*arguments, **options)
            ours.append(found.validation[0])
            return found

        monkeypatch.setattr(recipes, "solved_run", noted)
        monkeypatch.setattr(recipes, "read_header", lambda path: pretend(
            read_header(path), ours[0] + 1e-7))  # fmt: skip
        result = self.run(data, quick, weights, tmp_path / "run", epochs=1)
        assert result.recognizer.header.provenance["recipe"] == "closed-form"

    @pytest.fixture
    def winner(self, squares, quick, weights, tmp_path, monkeypatch):
        """A run whose fine-tuning wins on a val that was carved out of train."""
        shutil.copytree(squares / "train", tmp_path / "data" / "train")
        monkeypatch.setattr(recipes, "read_header", lambda path: pretend(read_header(path), 1.5))
        own = {"val_share": 0.5, "epochs": 1}
        return self.run(tmp_path / "data", quick, weights, tmp_path / "run", **own)

    def test_what_won_is_trained_again_with_the_images_of_val(self, winner):
        header = winner.recognizer.header
        assert header.provenance["recipe"] == "fine-tune"
        assert header.provenance["why this recipe"].endswith("21 images; then with all images")
        assert header.provenance["splits"]["val_share"] == 0, "or val would be scored"
        assert header.calibration.images == 21, "as the one without them says"
        assert header.scores == {"val_acc": 1.5}
        whole = load_file(winner.folder / "fine-tune-all" / "model.safetensors")
        part = load_file(winner.folder / "fine-tune" / "model.safetensors")
        kept = load_file(winner.folder / "model.safetensors")
        assert all(torch.equal(kept[name], whole[name]) for name in kept)
        assert any(not torch.equal(kept[name], part[name]) for name in kept)

    def test_such_a_run_is_resumed_to_the_same(self, winner):
        file = winner.folder / "model.safetensors"
        before = file.read_bytes()
        lc.train(resume=winner.folder, quiet=True)
        assert file.read_bytes() == before

    def test_twice_the_time_is_asked_for(self, squares, quick, weights, tmp_path, monkeypatch):
        """Where it would be done twice; a val of the data's own is not learned from."""
        asked = []
        monkeypatch.setattr(
            recipes, "_against_fine_tuning", lambda *_, times: asked.append(times) or "no"
        )
        shutil.copytree(squares / "train", tmp_path / "data" / "train")
        self.run(tmp_path / "data", quick, weights, tmp_path / "a")
        self.run(squares, quick, weights, tmp_path / "b")
        assert asked == [2, 1]


def pretend(package, accuracy):
    from dataclasses import replace

    return replace(package, scores={"val_acc": accuracy})


def many_val(squares, root):
    """With 24 images of val."""
    shutil.copytree(squares, root)
    (root / "boxes.csv").unlink()
    for file in list(root.glob("train/*/*.png")):
        if int(file.stem) < 4:
            shutil.copy(file, root / "val" / file.parent.name / f"more{file.name}")
    return root


def test_a_trained_run_is_calibrated_on_val(squares, quick, tmp_path):
    data = many_val(squares, tmp_path / "data")
    result = run_training(data, out=tmp_path / "run", quiet=True, **quick)
    calibration = result.recognizer.header.calibration
    assert calibration.images == 24
    assert calibration.distance is None
    assert lc.load(tmp_path / "run").header.calibration == calibration


def test_features_do_not_depend_on_the_batch(solved, squares):
    from lookcloser.data import read_data

    catalog = read_data(squares)
    recognizer = solved.recognizer
    given = recognizer.names, "classification", recognizer.header.preprocessing
    samples = catalog.split("train")
    together = collect_features(recognizer.model, samples, *given)
    alone = collect_features(recognizer.model, samples[5:6], *given)
    np.testing.assert_allclose(alone.values[0], together.values[5], rtol=1e-4, atol=1e-5)
    assert together.labels.sum() == len(samples)


@pytest.mark.parametrize(
    ("places", "said"),
    [
        (0, "val 75.0% in closed form, 50.0% fine-tuned, 24 images"),
        (3, "75.0% of images left out in closed form, 50.0% of 24 images of val fine-tuned"),
    ],
)
def test_what_the_accuracies_are_of_is_said(places, said):
    header = SimpleNamespace(arguments={"places": places})
    solved = SimpleNamespace(header=header, validation=(0.75, 24))
    assert recipes._compared(solved, 0.5) == said
