import io
import json
import shutil
import threading
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

import lookcloser as lc
from lookcloser.core import LookcloserError
from lookcloser.core import boxes as geometry
from lookcloser.core.preprocessing import input_pixels
from lookcloser.data import read_data
from lookcloser.explain import VIEWS, normalize
from lookcloser.inference import split_loop

RED = "test/red/0.png"


def as_batch(recognizer, picture):
    return recognizer.engine.images(input_pixels(picture, recognizer.header.preprocessing)[None])


def test_every_form_of_an_image_gets_the_same_answer(recognizer, squares):
    path = squares / RED
    picture = Image.open(path).convert("RGB")
    array = np.asarray(picture)
    forms = [path, str(path), picture, array, array / 255.0, path.read_bytes()]
    answers = recognizer.predict(forms)
    assert len(answers) == len(forms)
    for answer in answers:
        assert answer.labels[0].name == answers[0].labels[0].name
        assert answer.labels[0].score == pytest.approx(answers[0].labels[0].score, abs=1e-5)
        assert answer.size == (32, 32)
    assert [answer.path is None for answer in answers] == [False, False, True, True, True, True]


def test_a_single_image_gives_a_list_of_one(recognizer, squares):
    assert len(recognizer.predict(squares / RED)) == 1
    assert len(recognizer.predict(np.zeros((20, 30, 3), np.uint8))) == 1


def test_order_is_kept_over_batches_and_broken_images(recognizer, squares, tmp_path):
    good = sorted((squares / "test" / "blue").iterdir())
    (tmp_path / "broken.png").write_bytes(b"x")
    answers = recognizer.predict([*good[:3], tmp_path / "broken.png", *good[3:]], batch_size=2)
    assert [answer.path for answer in answers] == [*good[:3], tmp_path / "broken.png", *good[3:]]
    assert [answer.error is None for answer in answers].count(False) == 1
    assert "broken.png" in answers[3].error
    assert answers[3].labels == ()


def test_scores_are_a_distribution_and_regions_follow_the_labels(recognizer, squares):
    answer = recognizer.predict(squares / RED)[0]
    assert [label.name for label in answer.labels] == [region.label for region in answer.regions]
    assert sum(label.score for label in answer.labels) == pytest.approx(1, abs=1e-5)
    assert [label.score for label in answer.labels] == sorted(
        (label.score for label in answer.labels), reverse=True
    )
    for label in answer.labels:
        assert recognizer.names[label.index] == label.name
    for region in answer.regions:
        assert region.kind == "map"
        assert region.heatmap.dtype == np.float32
        assert region.heatmap.shape == (4, 4)
        assert 0 <= region.heatmap.min() <= region.heatmap.max() <= 1
    json.dumps(answer.to_dict())


def test_the_box_is_in_pixels_of_the_original(recognizer, squares):
    small = Image.open(squares / RED).convert("RGB")
    large = small.resize((320, 160), Image.Resampling.NEAREST)
    boxes = [answer.regions[0].box for answer in recognizer.predict([small, large])]
    scaled = geometry.scale(boxes[0], (32, 32), (320, 160))
    assert geometry.iou([scaled], [boxes[1]])[0, 0] > 0.8


def test_the_heatmap_is_the_models_own_map(recognizer, squares):
    answer = recognizer.predict(squares / RED)[0]
    batch = as_batch(recognizer, Image.open(squares / RED).convert("RGB"))
    with torch.no_grad():
        maps = recognizer.model(batch).maps[0, answer.labels[0].index]
    np.testing.assert_allclose(answer.regions[0].heatmap, normalize(maps).cpu().numpy(), atol=1e-5)


def test_load_gives_the_same_answers(recognizer, squares):
    again = lc.load(recognizer.folder)
    one_file = lc.load(recognizer.folder / "model.safetensors")
    for other in (again, one_file):
        for a, b in zip(
            recognizer.predict(squares / "test"), other.predict(squares / "test"), strict=True
        ):
            assert a.to_dict() == b.to_dict()


def test_evaluation_is_consistent(recognizer, squares):
    found = recognizer.evaluation(squares)
    assert len(found.answers) == 18
    right = [answer.correct for answer in found.answers]
    assert found.metrics["top1"] == pytest.approx(np.mean(right))
    assert found.confusion.sum() == 18
    assert found.confusion.trace() == sum(right)
    assert found.metrics["nll"] == pytest.approx(np.mean([answer.loss for answer in found.answers]))
    assert recognizer.evaluate(squares) == pytest.approx(dict(found.metrics))
    low, high = found.score("top1").interval
    assert low <= found.metrics["top1"] <= high
    for answer in found.answers:
        predicted = answer.prediction.labels[0].name
        assert answer.correct == (predicted == answer.truth[0])
        assert answer.prediction.regions[-1].label == answer.truth[0]


def test_predict_and_evaluate_agree(recognizer, squares):
    by_path = {str(a.path): a.labels[0].name for a in recognizer.predict(squares / "test")}
    for answer in recognizer.evaluation(squares).answers:
        assert by_path[str(answer.prediction.path)] == answer.prediction.labels[0].name


def test_localization_is_that_of_boxes_cut_at_the_chosen_threshold(recognizer, squares):
    found = recognizer.evaluation(squares)
    ious = [answer.iou for answer in found.answers]
    assert found.metrics["MaxBoxAcc@0.5"] == pytest.approx(np.mean([iou >= 0.5 for iou in ious]))
    right = [answer.correct and answer.iou >= 0.5 for answer in found.answers]
    assert found.metrics["top1_loc"] == pytest.approx(np.mean(right))
    assert "of a separate split" in found.settings["supervision of the thresholds"]
    assert found.metrics["MaxBoxAcc@0.5"] > found.metrics["MaxBoxAcc@0.5 center box"]


def test_choosing_the_threshold_on_the_scored_split_is_never_worse_and_said(recognizer, squares):
    separate = recognizer.evaluation(squares)
    same = recognizer.evaluation(squares, threshold_from="split")
    assert same.metrics["MaxBoxAcc@0.5"] >= separate.metrics["MaxBoxAcc@0.5"]
    assert "optimistic" in same.settings["supervision of the thresholds"]


def test_thresholds_from_fewer_boxes(recognizer, squares):
    def said(threshold_from):
        found = recognizer.evaluation(squares, threshold_from=threshold_from)
        return found.metrics, found.settings["supervision of the thresholds"]

    few, words = said("few:3")
    assert words == "boxes of 3 images, drawn from 12 (seed 0), of a separate split"
    none, words = said("none")
    assert words == "no boxes: a fixed 0.2 of each map's range"
    own, _ = said("split")
    for name in ("MaxBoxAcc@0.5", "MaxBoxAccV2"):
        assert max(few[name], none[name]) <= own[name]
    assert few["pointing"] == none["pointing"], "needs no threshold"
    with pytest.raises(LookcloserError, match="few:1 … few:12"):
        said("few:13")


def test_boxes_never_reach_the_training(squares, recognizer, tmp_path):
    without = shutil.copytree(squares, tmp_path / "data")
    (without / "boxes.csv").unlink()
    again = lc.train(without, out=tmp_path / "run", quiet=True, **recognizer_options(recognizer))
    for name, value in recognizer.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value), name
    assert recognizer.header.box_threshold != again.header.box_threshold == 0.2


def recognizer_options(recognizer):
    from lookcloser.recognizer import read_config

    return read_config(recognizer.folder)[1].to_dict()


def test_data_without_boxes_has_no_localization(recognizer, squares, tmp_path):
    without = shutil.copytree(squares, tmp_path / "data")
    (without / "boxes.csv").unlink()
    assert not any("Box" in name for name in recognizer.evaluate(without))


def test_a_split_is_never_in_memory_as_a_whole(recognizer, squares, monkeypatch):
    alive, most = weakref.WeakSet(), []
    real = split_loop.read_split

    def counted(*given, **options):
        for batch in real(*given, **options):
            alive.add(batch.images)
            most.append(len(alive))
            yield batch

    monkeypatch.setattr(split_loop, "read_split", counted)
    recognizer.evaluation(squares, "test", batch_size=2)
    assert len(most) > 5
    assert max(most) <= 3


def test_broken_images_are_listed_and_the_rest_scored(recognizer, squares, tmp_path):
    data = shutil.copytree(squares, tmp_path / "data")
    (data / "test" / "red" / "0.png").write_bytes(b"x")
    found = recognizer.evaluation(data)
    assert len(found.answers) == 17
    assert [name for name, _ in found.skipped] == ["test/red/0.png"]


def test_classes_the_model_does_not_know(recognizer, squares, tmp_path):
    data = shutil.copytree(squares, tmp_path / "data")
    (data / "boxes.csv").unlink()
    for split in ("train", "val", "test"):
        (data / split / "red").rename(data / split / "pink")
    with pytest.raises(LookcloserError, match="pink: a class of the data that the model does not"):
        recognizer.evaluate(data)


def test_every_view_that_the_network_has(recognizer, squares):
    views = recognizer.explain(squares / RED, views=["all"])
    assert set(VIEWS) - set(views) == {"attention_rollout", "attention_relevance"}


def test_explain_by_name(recognizer, squares):
    views = recognizer.explain(squares / RED, target="blue")
    assert list(views) == ["cam", "gradcam", "saliency"]
    assert {region.label for region in views.values()} == {"blue"}
    # On a pooled head the positive CAM and Grad-CAM are one picture.
    np.testing.assert_allclose(views["cam"].heatmap, views["gradcam"].heatmap, atol=1e-4)
    assert views["saliency"].heatmap.shape == (32, 32)
    assert views["saliency"].box is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r, d: r.explain(d / RED, views=["camm"]), "camm: unknown view. Close: cam"),
        (lambda r, d: r.explain(d / RED, target="rad"), "rad: unknown class. Close: red"),
        (lambda r, d: r.predict("https://example.org/a.jpg"), "URLs are not read"),
        (lambda r, d: r.predict(d / "tset"), "Did you mean .*test"),
        (
            lambda r, d: r.evaluation(d, threshold_from="test"),
            "unknown place to choose the threshold",
        ),
        (lambda r, d: r.evaluation(d, "valid"), "valid: unknown split"),
    ],
)
def test_what_is_wrong_is_named(recognizer, squares, call, message):
    with pytest.raises(LookcloserError, match=message):
        call(recognizer, squares)


def test_threads_share_one_recognizer(recognizer, squares):
    expected = [a.to_dict() for a in recognizer.predict(squares / "test")]
    wrong = []

    def work():
        if [a.to_dict() for a in recognizer.predict(squares / "test")] != expected:
            wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_in_memory_data_is_scored_and_reported(recognizer, squares, tmp_path):
    from dataclasses import replace

    catalog = read_data(squares)
    loaded = tuple(
        replace(sample, source=np.asarray(Image.open(sample.source))) for sample in catalog.samples
    )
    page, found = recognizer.report(replace(catalog, samples=loaded), out=tmp_path / "r.html")
    assert found.metrics == recognizer.evaluation(squares).metrics
    assert page.stat().st_size > 50_000


def test_plot_shows_the_image_and_its_evidence(recognizer, squares):
    answer = recognizer.predict(squares / RED)[0]
    buffer = io.BytesIO()
    answer.plot(regions=2).save(buffer, "PNG")
    assert answer.plot(regions=2).width > answer.plot(regions=1).width


def test_an_evaluation_splits_the_data_as_the_training_did(tmp_path, quick, squares):
    flat = tmp_path / "flat"  # classes without splits
    for name in ("red", "green", "blue"):
        for number, file in enumerate(sorted((squares / "train" / name).iterdir())):
            (flat / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, flat / name / f"{number}.png")
    how = {"seed": 7, "val_share": 0.2, "test_share": 0.4}
    recognizer = lc.train(flat, out=tmp_path / "run", quiet=True, **{**quick, "epochs": 1, **how})
    read = read_data(flat, split_seed=7, val_share=0.2, test_share=0.4)
    expected = {sample.name for sample in read.split("test")}
    assert expected != {sample.name for sample in read_data(flat).split("test")}
    for again in (recognizer, lc.load(tmp_path / "run")):
        answers = again.evaluation(flat).answers
        assert {a.prediction.path.relative_to(flat).as_posix() for a in answers} == expected
