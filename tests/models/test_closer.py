"""A classifier that looks again at the best places of an image."""

import pytest
import torch

from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.explain import gradcam
from lookcloser.layers import crop_and_zoom
from lookcloser.layers.class_head import ClassHead
from lookcloser.models import build_model, load_model_file, save_model_file
from lookcloser.models.cam.closer import (
    best_places,
    cut,
    place_weights,
    presence,
    window_means,
)

CLASSES, VIEW = 3, 32
ARGUMENTS = {
    "num_classes": CLASSES, "backbone": "test_resnet", "rooted": True, "rank": 2,
    "places": 2, "share": 0.4, "view": VIEW,
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = build_model("cam", ARGUMENTS).eval()
    for head in (made.head, made.closer.head, made.closer.finder):
        torch.nn.init.normal_(head.weight)
        torch.nn.init.normal_(head.bias)
    return made


@pytest.fixture(scope="module")
def images():
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


class TestBestPlaces:
    def test_the_highest_comes_first_and_others_are_far_from_it(self):
        scores = torch.zeros(1, 10, 10)
        scores[0, 5, 5], scores[0, 5, 6], scores[0, 2, 7] = 0.9, 0.8, 0.7
        boxes, found = best_places(scores, 2, 0.3)
        torch.testing.assert_close(found, torch.tensor([[0.9, 0.7]]))
        torch.testing.assert_close(boxes[0], torch.tensor([[0.1, 0.1, 0.3], [0.5, -0.5, 0.3]]))

    def test_boxes_are_moved_inside(self):
        scores = torch.zeros(2, 5, 8)
        scores[0, 0, 0], scores[1, 4, 7] = 1, 1
        boxes = best_places(scores, 1, 0.5)[0][:, 0]
        torch.testing.assert_close(boxes, torch.tensor([[-0.5, -0.5, 0.5], [0.5, 0.5, 0.5]]))

    def test_more_places_than_there_are(self):
        boxes, found = best_places(torch.rand(1, 2, 2), 5, 0.9)
        assert boxes.shape == (1, 5, 3)
        assert torch.isfinite(boxes).all()
        assert torch.isfinite(found.softmax(dim=1)).all()

    def test_scores_of_any_sign(self):
        scores = torch.full((1, 6, 6), -5.0)
        scores[0, 1, 1], scores[0, 4, 4] = -1, -2
        first, second = best_places(scores, 2, 0.2)[0][0]
        assert first[0] < 0 < second[0]


class TestWindows:
    def test_a_window_is_the_root_of_its_mean(self):
        features = torch.randn(2, 6, 7, 9, dtype=torch.float64)
        found = window_means(features, 0.6)
        for y, x in ((0, 0), (3, 4), (6, 8), (2, 8)):
            part = features[:, :, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            mean = part.mean(dim=(2, 3))
            expected = mean / (mean.abs() + 1e-4).sqrt()
            torch.testing.assert_close(found[:, :, y, x], expected)

    def test_a_share_smaller_than_a_place_is_the_place(self):
        features = torch.randn(1, 6, 4, 4, dtype=torch.float64)
        rooted = features / (features.abs() + 1e-4).sqrt()
        torch.testing.assert_close(window_means(features, 0.01), rooted)

    def test_presence_is_the_log_odds_against_elsewhere(self):
        torch.manual_seed(0)
        finder = ClassHead(6, CLASSES + 1).double()
        torch.nn.init.normal_(finder.weight)
        features = torch.randn(1, 6, 4, 4, dtype=torch.float64)
        found = presence(features, finder, 0.3)
        shares = finder(window_means(features, 0.3).permute(0, 2, 3, 1)).softmax(dim=-1)
        elsewhere = shares[..., -1]
        torch.testing.assert_close(found, torch.log((1 - elsewhere) / elsewhere))


def test_crops_are_those_of_each_image(images):
    boxes = torch.tensor([[[0.0, 0.0, 1.0], [0.3, -0.2, 0.4]]]).expand(3, -1, -1)
    crops = cut(images, boxes, VIEW).unflatten(0, (3, 2))
    for image in range(3):
        for place in range(2):
            alone = crop_and_zoom(images[image : image + 1], boxes[image, place][None], VIEW)
            torch.testing.assert_close(crops[image, place], alone[0])


class TestWeights:
    def test_what_is_surest_counts_most(self):
        logits = torch.tensor([[[5.0, 0, 0], [0.1, 0, 0]], [[0, 0, 0], [0, 9.0, 0]]])
        weights = place_weights(logits, torch.zeros(2, 2))
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(2))
        assert weights.argmax(dim=1).tolist() == [0, 1]

    def test_both_looks_count_alike(self):
        logits = torch.tensor([[[3.0, 0, 0], [0, 0, 0]]])
        weights = place_weights(logits, torch.tensor([[0.0, 2.0]]))
        torch.testing.assert_close(weights, torch.tensor([[0.5, 0.5]]))

    def test_what_all_classes_have_in_common_says_nothing(self):
        logits, present = torch.randn(4, 3, 5), torch.randn(4, 3)
        torch.testing.assert_close(
            place_weights(logits, present), place_weights(logits + torch.randn(4, 3, 1), present)
        )


class TestModel:
    def test_what_it_gives(self, model, images):
        with torch.no_grad():
            output = model(images, top=2)
        assert output.logits.shape == (3, CLASSES)
        assert output.boxes.shape == (3, 2, 4)
        assert output.boxes.abs().max() <= 1 + 1e-6
        assert output.scale_logits.shape == (3, 3, CLASSES)
        assert output.maps.shape[:2] == (3, 2)
        assert output.distances.shape == (3,)

    def test_the_answer_is_that_of_the_places(self, model, images):
        with torch.no_grad():
            output = model(images)
            each = output.scale_logits[:, 1:]
            features = model.backbone(images)
            seen = model.closer(images, features, model.backbone)
        assert (seen.weights[:, 0] >= seen.weights[:, 1]).all(), "what counts most comes first"
        torch.testing.assert_close(seen.logits, each)
        torch.testing.assert_close(output.logits, (seen.weights[:, :, None] * each).sum(dim=1))

    def test_each_place_is_seen_where_its_box_is(self, model, images):
        with torch.no_grad():
            output = model(images)
            x0, y0, x1, y1 = output.boxes[:, 0].unbind(dim=1)
            box = torch.stack([(x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2], dim=1)
            seen = model.rooted(model.backbone(crop_and_zoom(images, box, VIEW)))
            expected = model.closer.head(seen.mean(dim=(2, 3)))
        torch.testing.assert_close(output.scale_logits[:, 1], expected, rtol=1e-3, atol=1e-3)

    def test_maps_lie_where_the_places_are(self, model, images):
        with torch.no_grad():
            output = model(images, top=1)
        height, width = output.maps.shape[-2:]
        for maps, boxes in zip(output.maps[:, 0], output.boxes, strict=True):
            covered = torch.zeros(height, width, dtype=torch.bool)
            for x0, y0, x1, y1 in boxes.tolist():
                xs = (2 * torch.arange(width) + 1) / width - 1
                ys = (2 * torch.arange(height) + 1) / height - 1
                inside = ((ys >= y0) & (ys <= y1))[:, None] & ((xs >= x0) & (xs <= x1))[None]
                covered |= inside
            assert maps[~covered].abs().max() == 0
            assert maps[covered].abs().max() > 0

    def test_layers_that_see_crops_alone_give_no_map_of_the_image(self, model, images):
        with pytest.raises(LookcloserError, match="of the whole image.*use saliency or occlusion"):
            gradcam(model, images[:1])

    def test_targets_choose_the_maps(self, model, images):
        with torch.no_grad():
            every = model(images).maps
            chosen = model(images, targets=torch.tensor([[2], [0], [1]])).maps
        for row, target in enumerate((2, 0, 1)):
            torch.testing.assert_close(chosen[row, 0], every[row, target])

    def test_saved_and_loaded(self, model, images, tmp_path):
        header = ModelHeader(
            "cam", ARGUMENTS, "classification", ("a", "b", "c"), Preprocessing((64, 64))
        )
        path = save_model_file(tmp_path / "m.safetensors", model.state_dict(), header)
        loaded, again = load_model_file(path)
        assert again.arguments["places"] == 2
        with torch.no_grad():
            torch.testing.assert_close(loaded(images).logits, model(images).logits)
