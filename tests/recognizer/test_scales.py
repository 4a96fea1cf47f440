"""Methods that look in several scales: scores and boxes of each, by fields of `Output` alone."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image

from lookcloser.core import Label, Region
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.data import read_data
from lookcloser.data.transforms import evaluation_transform
from lookcloser.explain import box_update, derivative_map
from lookcloser.inference.derivatives import box_moves, ranking_regions
from lookcloser.layers.boxcar import SHRINK
from lookcloser.models import CAM, RACNN
from lookcloser.recognizer import Recognizer
from lookcloser.recognizer.reporting import MOST_SIGHTS
from lookcloser.runtime import ArrayOutput
from lookcloser.runtime.regions import scale_regions

ARGUMENTS = {"backbone": "test_resnet", "stride": 8, "size": 32, "scales": 3}


@pytest.fixture(scope="module")
def recognizer():
    torch.manual_seed(0)
    model = RACNN(3, RACNN.Options(**ARGUMENTS))
    for head in model.heads:
        torch.nn.init.normal_(head.weight)  # answers that differ from scale to scale
    header = ModelHeader(
        "racnn", {"num_classes": 3, **ARGUMENTS}, "classification", ("blue", "green", "red"),
        Preprocessing((64, 64)),
    )  # fmt: skip
    return Recognizer(model, header, device="cpu")


def test_every_scale_is_scored_and_the_fused_answer_is_top1(recognizer, squares):
    result = recognizer.evaluation(squares, batch_size=5)
    prepare = evaluation_transform(recognizer.header.preprocessing)
    samples = read_data(squares).split("test")
    right = np.zeros(4)
    for sample in samples:
        with torch.no_grad():
            output = recognizer.model(prepare(Image.open(sample.source).convert("RGB"))[None])
        truth = recognizer.names.index(sample.labels[0])
        each = [*output.scale_logits[0], output.logits[0]]
        right += [int(logits.argmax()) == truth for logits in each]
    expected = right / len(samples)
    found = [result.metrics[f"top1 scale {n}"] for n in (1, 2, 3)] + [result.metrics["top1"]]
    assert found == pytest.approx(expected.tolist())
    assert len(set(found)) > 1, "else the test could not tell scales apart"
    assert "top1 scale 4" not in result.metrics


def test_answers_of_a_split_and_predictions_show_the_same_nested_boxes(recognizer, squares):
    answers = recognizer.evaluation(squares).answers
    for answer in answers[:4]:
        predicted = recognizer.predict(answer.prediction.path)[0]
        pairs = [
            [region for region in one.regions if region.kind == "scale"]
            for one in (answer.prediction, predicted)
        ]
        assert [[region.step for region in regions] for regions in pairs] == [[1, 2], [1, 2]]
        for one, other in zip(*pairs, strict=True):
            assert one.box == pytest.approx(other.box, abs=0.05)
            assert one.score == pytest.approx(other.score, abs=1e-4)
            assert one.label == other.label == predicted.labels[0].name
        coarse, fine = pairs[0]
        width, height = answer.prediction.size
        assert 0 <= coarse.box[0] <= fine.box[0] < fine.box[2] <= coarse.box[2] <= width
        assert 0 <= coarse.box[1] <= fine.box[1] < fine.box[3] <= coarse.box[3] <= height


def test_where_the_scales_lie_is_scored_over_the_split(recognizer, squares):
    result = recognizer.evaluation(squares)
    for number in (2, 3):
        boxes = np.array(
            [
                next(r.box for r in answer.prediction.regions if r.step == number - 1)
                for answer in result.answers
            ]
        )
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / 32**2
        assert result.metrics[f"scale {number} area"] == pytest.approx(areas.mean())
        assert result.metrics[f"scale {number} area sd"] == pytest.approx(areas.std(), abs=1e-9)
        middles = boxes[:, [0, 2]].mean(axis=1) / 32
        assert result.metrics[f"scale {number} x"] == pytest.approx(middles.mean())


def test_a_box_has_the_score_of_its_own_scale_in_pixels_of_the_original():
    output = ArrayOutput(
        logits=np.zeros((1, 2), np.float32),
        boxes=np.array([[[-0.5, -1.0, 0.5, 0.0], [0.0, -0.5, 0.25, -0.25]]], np.float32),
        scale_logits=np.array([[[9.0, 0.0], [0.0, 1.0], [0.0, 2.0]]], np.float32),
    )
    regions = scale_regions(output, 0, Label("b", 0.5, 1), (400, 200), "scale")
    assert [region.box for region in regions] == [(100, 0, 300, 100), (200, 50, 250, 75)]
    expected = [torch.tensor(value).sigmoid().item() for value in (1.0, 2.0)]
    assert [region.score for region in regions] == pytest.approx(expected)
    plain = scale_regions(
        output._replace(scale_logits=None), 0, Label("b", 0.5, 1), (400, 200), "scale"
    )
    assert [region.score for region in plain] == [0.5, 0.5]


def test_evidence_is_the_map_of_the_fused_answer_on_the_whole_image(recognizer, squares):
    region = recognizer.predict(next((squares / "test" / "red").iterdir()))[0].regions[0]
    assert region.kind == "map"
    assert region.heatmap.shape == (16, 16), "four times as fine as the features of one scale"


def test_the_derivative_view_tells_which_way_it_moves_each_box(recognizer, squares):
    path = next((squares / "test" / "red").iterdir())
    found = recognizer.explain(path, ["derivative"])
    assert list(found) == [
        "derivative",
        *(
            f"derivative of the {of} (scale {n})"
            for of in ("score", "ranking loss")
            for n in (2, 3)
        ),
    ]
    assert found["derivative"].heatmap.shape == (64, 64)
    assert found["derivative"].heatmap.max() == pytest.approx(1.0)
    assert found["derivative"].move is None

    scales = [r for r in recognizer.predict(path)[0].regions if r.kind == "scale"]
    image = evaluation_transform(recognizer.header.preprocessing)(Image.open(path))[None]
    maps = derivative_map(recognizer.model, image)
    for region, scale in zip(list(found.values())[1:3], scales, strict=True):
        assert (region.kind, region.label, region.step) == ("scale", scale.label, scale.step)
        assert region.box == pytest.approx(scale.box, abs=0.05)
        assert region.heatmap.shape == (32, 32)
        x0, y0, x1, y1 = (value / 16 - 1 for value in region.box)  # of 32 pixels
        box = torch.tensor([[(x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2]])
        update = box_update(maps, box, SHRINK)[0]
        assert region.move == pytest.approx((update / update.norm()).tolist(), abs=0.01)
        assert np.linalg.norm(region.move) == pytest.approx(1.0)


def test_the_ranking_loss_moves_a_box_down_its_own_slope(recognizer, squares):
    """The move against differences of the loss, by boxes that are pushed a little."""
    path = next((squares / "test" / "red").iterdir())
    found = recognizer.explain(path, ["derivative"], target="green")
    image = evaluation_transform(recognizer.header.preprocessing)(Image.open(path))[None].double()
    model = copy.deepcopy(recognizer.model).double().eval()
    with torch.no_grad():
        corners = model(image).boxes[0]
        boxes = torch.stack([(corners[:, 0] + corners[:, 2]) / 2,
                             (corners[:, 1] + corners[:, 3]) / 2,
                             (corners[:, 2] - corners[:, 0]) / 2], dim=1)[None]  # fmt: skip
    for number in (1, 2):
        slopes = []
        for index in range(3):
            pushed = []
            for step in (1e-7, -1e-7):
                moved = boxes.clone()
                moved[0, number - 1, index] += step
                with torch.no_grad():
                    shares = model.logits_at(image, moved).softmax(dim=-1)[0, :, 1]
                pushed.append(-shares[number].item())
            slopes.append((pushed[0] - pushed[1]) / 2e-7)
        expected = -torch.tensor(slopes) / torch.tensor(slopes).norm()
        region = found[f"derivative of the ranking loss (scale {number + 1})"]
        assert (region.kind, region.label, region.step) == ("scale", "green", number)
        assert region.move == pytest.approx(expected.tolist(), abs=0.05)
        assert region.heatmap.shape == (32, 32)
        assert region.heatmap.max() == pytest.approx(1.0)


class _Planted(torch.nn.Module):
    """Two scales; the finer one is the surer the nearer its box's half-side is to a wished one."""

    def __init__(self, wished):
        super().__init__()
        self.wished = wished

    def logits_at(self, images, boxes):
        sure = -(boxes[:, 0, 2] - self.wished).square() + 0.0 * images.sum()
        fine = torch.stack((sure, torch.zeros_like(sure)), dim=1)
        return torch.stack((torch.zeros_like(fine), fine), dim=1)


@pytest.mark.parametrize(("wished", "size"), [(0.2, -1.0), (0.8, 1.0)])
def test_the_ranking_loss_shrinks_a_box_where_that_helps(wished, size):
    scale = Region("scale", "a", 0.5, (8, 8, 24, 24), step=1)
    boxes = torch.tensor([[-0.5, -0.5, 0.5, 0.5]])
    found = ranking_regions(_Planted(wished), torch.ones(1, 3, 8, 8), boxes, 0, [scale])
    assert found["derivative of the ranking loss (scale 2)"].move == pytest.approx((0, 0, size))


def test_methods_that_look_once_have_no_ranking(squares):
    model = CAM(3, CAM.Options(backbone="test_resnet", stride=8))
    assert model.logits_at(torch.zeros(1, 3, 32, 32), torch.zeros(1, 1, 3)) is None
    assert ranking_regions(model, torch.zeros(1, 3, 32, 32), torch.zeros(1, 4), 0, []) == {}


def test_logits_at_the_models_own_boxes_are_its_answer(recognizer):
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)).double()
    model = copy.deepcopy(recognizer.model).double().eval()
    with torch.no_grad():
        output = model(images)
        low, high = output.boxes[..., :2], output.boxes[..., 2:]
        boxes = torch.cat(((low + high) / 2, (high - low)[..., :1] / 2), dim=-1)
        torch.testing.assert_close(model.logits_at(images, boxes), output.scale_logits)


def test_other_views_and_other_classes_say_what_they_are(recognizer, squares):
    path = next((squares / "test" / "red").iterdir())
    assert list(recognizer.explain(path, ["saliency"])) == ["saliency"]
    of_blue = recognizer.explain(path, ["derivative"], target="blue")
    assert {region.label for region in of_blue.values()} == {"blue"}


def test_a_planted_map_pulls_a_box_towards_it_and_none_does_not():
    slopes = torch.zeros(40, 40)
    slopes[18:22, 28:32] = 1e-30  # squares of small derivatives: still a direction
    inside = torch.tensor([[-0.5, -0.5, 0.5, 0.5], [-0.2, -0.2, 0.2, 0.2]])
    for x, y, size in box_moves(slopes, inside):
        assert x > 0.3, "to the right, where the map is"
        assert abs(y) < 1e-3
        assert size > 0
    slopes = torch.zeros(40, 40)
    slopes[9:11, 9:11] = 1.0  # in the very middle of a box that is much larger
    ((x, y, size),) = box_moves(slopes, torch.tensor([[-1.0, -1.0, 0.0, 0.0]]))
    assert (x, y) == pytest.approx((0, 0), abs=0.05)
    assert size < -0.9, "nothing is near the border: the box shrinks"
    assert box_moves(torch.zeros(40, 40), inside) == [(0.0, 0.0, 0.0)] * 2


def test_the_report_shows_the_moves_of_a_few_images(recognizer, squares, tmp_path, monkeypatch):
    asked, explain = [], Recognizer.explain

    def note(self, image, views, **options):
        asked.append((image, views))
        return explain(self, image, views, **options)

    monkeypatch.setattr(Recognizer, "explain", note)
    page, evaluation = recognizer.report(squares, out=tmp_path / "report.html")
    text = page.read_text(encoding="utf-8")
    assert len(asked) == len({image for image, _ in asked}) == MOST_SIGHTS
    assert {answer.correct for answer in evaluation.answers} == {True, False}
    assert 'id="what-would-move-the-boxes"' in text
    assert text.count("<b>derivative of the score (scale 3)</b>") == MOST_SIGHTS
    assert text.count("<b>derivative of the ranking loss (scale 2)</b>") == MOST_SIGHTS
    assert "(smaller)" in text or "(larger)" in text
    assert 'style="' not in text.split('id="what-would-move-the-boxes"')[1].split("</section>")[0]


def test_answers_without_boxes_have_no_such_section(squares, tmp_path):
    torch.manual_seed(0)
    arguments = {"backbone": "test_resnet", "stride": 8}
    header = ModelHeader("cam", {"num_classes": 3, **arguments}, "classification",
                      ("blue", "green", "red"), Preprocessing((32, 32)))  # fmt: skip
    plain = Recognizer(CAM(3, CAM.Options(**arguments)), header, device="cpu")
    page, _ = plain.report(squares, out=tmp_path / "report.html")
    assert "what-would-move-the-boxes" not in page.read_text(encoding="utf-8")
    path = next((squares / "test" / "red").iterdir())
    assert list(plain.explain(path, ["derivative"])) == ["derivative"]
