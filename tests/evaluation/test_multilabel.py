import copy
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score
from torch.nn import functional as F

import lookcloser as lc
from lookcloser.core import LookcloserError
from lookcloser.core import boxes as geometry
from lookcloser.core.preprocessing import input_pixels
from lookcloser.core.types import Output
from lookcloser.data import read_data
from lookcloser.data.scenes import write_scenes
from lookcloser.evaluation.loop import Loop
from lookcloser.evaluation.multilabel import _neighbors
from lookcloser.evaluation.tag_sets import tag_places, tag_split
from lookcloser.recognizer import Recognizer

METHODS = ("sigmoid", "cnnrnn")


def as_batch(recognizer, picture):
    return recognizer.engine.images(input_pixels(picture, recognizer.header.preprocessing)[None])


@pytest.fixture(scope="module")
def tags(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tags") / "tags"
    return write_scenes(
        folder, "tags", train=96, val=16, test=20, size=48, digit_size=(12, 16), clutter=(0, 0)
    )


@pytest.fixture(scope="module", params=METHODS)
def recognizer(request, tags, tmp_path_factory):
    return lc.train(
        tags,
        out=tmp_path_factory.mktemp("runs") / request.param,
        quiet=True,
        method=request.param,
        **{"backbone": "test_resnet", "weights": "none", "stride": 8, "size": 48, "epochs": 5},
        **{"batch_size": 16, "lr": 1e-2, "workers": 0, "augment": "none", "flip": False},
        **({"threshold": 0.35} if request.param == "sigmoid" else {}),
    )


@pytest.fixture(scope="module")
def found(recognizer, tags):
    return recognizer.evaluation(tags)


def matrices(found):
    """(N, C) answered and true, from the answers themselves."""
    answered = np.zeros((len(found.answers), len(found.names)), dtype=int)
    truth = np.zeros_like(answered)
    for row, answer in enumerate(found.answers):
        answered[row, [label.index for label in answer.prediction.labels]] = 1
        truth[row, [found.names.index(name) for name in answer.truth]] = 1
    return answered, truth


def test_scores_are_those_of_the_answered_sets(found):
    answered, truth = matrices(found)
    assert answered.any()
    how = {"zero_division": 0.0}
    precision = precision_score(truth, answered, average="macro", **how)
    recall = recall_score(truth, answered, average="macro", **how)
    expected = {
        "C-P": precision,
        "C-R": recall,
        "C-F1": 2 * precision * recall / (precision + recall),
        "C-F1 macro": f1_score(truth, answered, average="macro", **how),
        "O-P": precision_score(truth, answered, average="micro", **how),
        "O-R": recall_score(truth, answered, average="micro", **how),
        "O-F1": f1_score(truth, answered, average="micro", **how),
        "exact": (answered == truth).all(axis=1).mean(),
    }
    assert {name: found.metrics[name] for name in expected} == pytest.approx(expected)
    assert expected["C-F1"] != pytest.approx(expected["C-F1 macro"]), "two conventions"


def test_rankings_and_losses_are_those_of_the_scores(found, recognizer, tags):
    tagged = tag_split(recognizer.engine, read_data(tags).split("test"))
    _, truth = matrices(found)
    scores = tagged.logits.sigmoid().numpy()
    curves = [average_precision_score(truth[:, c], scores[:, c]) for c in range(truth.shape[1])]
    assert found.metrics["mAP"] == pytest.approx(np.mean(curves))
    top = np.argsort(-scores, axis=1, kind="stable")[:, :3]
    best = np.zeros_like(truth)
    np.put_along_axis(best, top, 1, axis=1)
    assert found.metrics["O-P@3"] == pytest.approx(precision_score(truth, best, average="micro"))
    wanted = torch.from_numpy(truth).float()
    losses = F.binary_cross_entropy_with_logits(tagged.logits, wanted, reduction="none").sum(1)
    assert [answer.loss for answer in found.answers] == pytest.approx(losses.tolist())
    assert found.metrics["nll"] == pytest.approx(losses.mean().item())
    for label, row in enumerate(found.per_class.values()):
        assert row["count"] == truth[:, label].sum()
        assert row["AP"] == pytest.approx(curves[label])


def test_answers_are_right_as_whole_sets(found):
    for answer in found.answers:
        names = {label.name for label in answer.prediction.labels}
        assert answer.correct == (names == set(answer.truth))
    low, high = found.score("exact").interval
    assert low <= found.metrics["exact"] <= high


def test_predict_and_evaluate_agree(recognizer, found, tags):
    by_path = {answer.path: answer for answer in recognizer.predict(tags / "test")}
    for answer in found.answers:
        expected, shown = by_path[answer.prediction.path], answer.prediction
        assert [label.name for label in shown.labels] == [label.name for label in expected.labels]
        assert [label.score for label in shown.labels] == pytest.approx(
            [label.score for label in expected.labels], abs=1e-4
        )


def test_exact_search_says_how_much_it_proved(recognizer, found, tags, monkeypatch):
    assert "search" not in found.settings, "what a beam finds is not proved"
    if recognizer.header.method != "cnnrnn":
        return
    exact = Recognizer(copy.deepcopy(recognizer.model), recognizer.header, device="cpu")
    exact.model.decoder = "exact"
    assert exact.evaluation(tags).settings["search"] == "exact, 20 of 20 proved"
    monkeypatch.setattr("lookcloser.models.cnnrnn.model.NODE_BUDGET", 1)
    said = exact.evaluation(tags).settings["search"]
    assert 0 <= int(said.split()[1]) < 20


def test_the_batches_of_a_run_share_what_needs_no_image(recognizer, tags, monkeypatch):
    entered, session = [], type(recognizer.model).session

    def watched(model):
        made = session(model)
        entered.append(made)
        return made

    monkeypatch.setattr(type(recognizer.model), "session", watched)
    recognizer.predict(tags / "test", batch_size=4)
    assert len(entered) == 1
    if recognizer.header.method == "cnnrnn":
        (cache,) = entered[0]._caches.values()
        assert len(cache) > 1


def test_a_stream_leaves_the_callers_modes_alone(recognizer, tags):
    for prediction in recognizer.stream(tags / "test", batch_size=4):
        assert prediction.regions is not None
        assert not torch.is_inference_mode_enabled()


def test_every_answered_label_is_explained_at_once(recognizer, found, tags):
    answer = next(a for a in found.answers if len(a.prediction.labels) > 1).prediction
    views = ["gradcam", "deconvnet"]
    explained = recognizer.explain_labels(answer.path, views)
    assert list(explained) == views
    shown = [region.label for region in answer.regions]
    for view, regions in explained.items():
        assert [region.label for region in regions] == shown
        assert {region.kind for region in regions} == {region.kind for region in answer.regions}
        assert [region.step for region in regions] == [region.step for region in answer.regions]
        for region in regions:
            alone = recognizer.explain(answer.path, [view], target=region.label)[view]
            np.testing.assert_allclose(region.heatmap, alone.heatmap, atol=1e-4)
            assert region.score == pytest.approx(alone.score)


def test_named_labels_are_explained_in_their_order(recognizer, found, tags):
    path = found.answers[0].prediction.path
    regions = recognizer.explain_labels(path, ["gradcam"], labels=["7", "2"])["gradcam"]
    assert [(region.label, region.kind, region.step) for region in regions] == [
        ("7", "map", None),
        ("2", "map", None),
    ]
    with pytest.raises(LookcloserError, match="77: unknown class"):
        recognizer.explain_labels(path, labels=["7", "77"])


def test_an_answer_without_a_label_has_nothing_to_explain(recognizer, found, monkeypatch):
    nothing = Output(torch.zeros(1, 10), tokens=torch.tensor([[-1]]))
    monkeypatch.setattr(recognizer.model, "answer", lambda _images, _top: nothing)
    with pytest.raises(LookcloserError, match="no label to explain"):
        recognizer.explain_labels(found.answers[0].prediction.path)


def test_labels_come_best_first_and_steps_in_the_order_of_the_path(recognizer, found):
    steps = recognizer.header.method == "cnnrnn"
    orders = set()
    for answer in found.answers:
        labels, regions = answer.prediction.labels, answer.prediction.regions
        scores = [label.score for label in labels]
        assert scores == sorted(scores, reverse=True)
        assert {region.label for region in regions} == {label.name for label in labels}
        for place, region in enumerate(regions):
            assert region.kind == ("step" if steps else "map")
            assert region.step == (place if steps else None)
            assert region.heatmap.shape == (6, 6)
        orders.add([region.label for region in regions] == [label.name for label in labels])
    assert (False in orders) if steps else orders == {True}


def test_boxes_of_each_true_label_are_scored(recognizer, found, tags):
    samples = read_data(tags).split("test")
    labels = [(row, name) for row, answer in enumerate(found.answers) for name in answer.truth]
    parts = list(tag_places(Loop(recognizer.engine, batch_size=6), samples))
    rows, maps_of, boxes = (
        [value for part in parts for value in getattr(part, name)]
        for name in ("images", "maps", "boxes")
    )
    assert len(rows) == len(labels)
    for place, own, true_boxes, (row, name) in zip(rows, maps_of, boxes, labels, strict=True):
        assert place == row
        wanted = [box for of, box in samples[row].boxes if of == name]
        np.testing.assert_allclose(true_boxes, geometry.scale(wanted, (48, 48), (48, 48)))
        picture = as_batch(recognizer, Image.open(samples[row].source).convert("RGB"))
        with torch.no_grad():
            maps = recognizer.model(picture).maps[0].cpu()
        torch.testing.assert_close(
            torch.from_numpy(own), maps[recognizer.names.index(name)], rtol=1e-3, atol=1e-3
        )
    ious = [answer.iou for answer in found.answers]
    assert all(iou is not None for iou in ious)
    assert "of a separate split" in found.settings["supervision of the thresholds"]
    assert "MaxBoxAcc@0.5 center box" in found.metrics
    assert found.settings["boxes"].startswith(f"{len(labels)} maps")


def test_the_box_threshold_is_chosen_on_val(recognizer, tags):
    assert recognizer.header.box_threshold != 0.2
    again = lc.load(recognizer.folder)
    assert again.header.box_threshold == recognizer.header.box_threshold


def test_data_without_boxes_has_no_localization(recognizer, tags, tmp_path):
    data = shutil.copytree(tags, tmp_path / "data")
    lines = (data / "labels.csv").read_text().splitlines()
    (data / "labels.csv").write_text("\n".join(",".join(x.split(",")[:3]) for x in lines) + "\n")
    scores = recognizer.evaluate(data)
    assert "exact" in scores
    assert not any("Box" in name for name in scores)


def test_broken_images_are_listed_and_the_rest_scored(recognizer, found, tags, tmp_path):
    data = shutil.copytree(tags, tmp_path / "data")
    (data / "test" / "00003.png").write_bytes(b"x")
    again = recognizer.evaluation(data)
    assert [name for name, _ in again.skipped] == ["test/00003.png"]
    kept = [answer for row, answer in enumerate(found.answers) if row != 3]
    assert [a.iou for a in again.answers] == pytest.approx([a.iou for a in kept])
    assert [a.truth for a in again.answers] == [a.truth for a in kept]


def test_labels_the_model_does_not_know(recognizer, tags, tmp_path):
    data = shutil.copytree(tags, tmp_path / "data")
    text = (data / "labels.csv").read_text()
    (data / "labels.csv").write_text(text.replace("test/00001.png,", "test/00001.png,x"))
    with pytest.raises(LookcloserError, match="a class of the data that the model does not know"):
        recognizer.evaluate(data)


def test_explain_names_the_score_that_predict_gives(recognizer, tags):
    picture = tags / "test" / "00000.png"
    predicted = recognizer.predict(picture)[0]
    views = recognizer.explain(picture, ["gradcam", "saliency", "deconvnet"])
    best = predicted.labels[0] if predicted.labels else None
    if best is not None:
        assert views["gradcam"].label == best.name
        assert views["gradcam"].score == pytest.approx(best.score, abs=1e-5)
    for target in ("0", "7"):
        views = recognizer.explain(picture, ["gradcam", "deconvnet"], target=target)
        assert {region.label for region in views.values()} == {target}
        assert views["deconvnet"].heatmap.shape == (48, 48)


def test_views_that_the_network_does_not_have(recognizer, tags):
    picture = tags / "test" / "00000.png"
    if recognizer.header.method == "sigmoid":
        assert list(recognizer.explain(picture)) == ["cam", "gradcam", "saliency"]
        return
    assert list(recognizer.explain(picture)) == ["gradcam", "saliency"]
    with pytest.raises(LookcloserError, match="has no class activation map"):
        recognizer.explain(picture, ["cam"])


def test_an_image_may_have_no_answer(recognizer, tags, monkeypatch):
    if recognizer.header.method == "sigmoid":
        monkeypatch.setattr(recognizer.model, "threshold", 0.999)
        answer = recognizer.predict(tags / "test" / "00000.png")[0]
        assert answer.labels == ()
        assert answer.regions == ()
        assert recognizer.evaluate(tags)["exact"] == 0.0
        assert answer.plot().width > 100


def test_neighbors_are_the_nearest_by_cosine(recognizer, found):
    vectors = recognizer.model.label_embeddings()
    if recognizer.header.method == "sigmoid":
        assert vectors is None
        assert found.neighbors == {}
        return
    for index, (name, near) in enumerate(found.neighbors.items()):
        assert name == found.names[index]
        cosines = F.cosine_similarity(vectors[index], vectors, dim=1)
        cosines[index] = -2
        best = cosines.argsort(descending=True)[:3].tolist()
        assert [other for other, _ in near] == [found.names[i] for i in best]
        assert [value for _, value in near] == pytest.approx(cosines[best].tolist(), abs=1e-6)


def test_two_labels_have_one_neighbor():
    near = _neighbors(torch.tensor([[1.0, 0], [0, 2]]), ("a", "b"))
    assert near == {"a": (("b", 0.0),), "b": (("a", 0.0),)}


def test_the_report_shows_sets_steps_and_neighbors(recognizer, tags, tmp_path):
    page, found = recognizer.report(tags, out=tmp_path / "report.html")
    text = page.read_text(encoding="utf-8")
    steps = recognizer.header.method == "cnnrnn"
    assert ("step 2: " in text) == steps
    assert ("Labels nearby" in text) == steps
    assert "Exact set" in text
    assert "just the right labels" in text
    assert geometry.area([answer.boxes[0] for answer in found.answers]).min() > 0
