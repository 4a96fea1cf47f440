import numpy as np
import torch
from torch import nn

from lookcloser.auditing.retest import (
    ATTENDED,
    MEASURES,
    attended,
    blurred,
    partners,
    retest,
)
from lookcloser.core import Output

SIDE = 20


class Corner(nn.Module):
    """Class 1 is brightness in the upper left quarter, class 0 its absence."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, images, targets=None):
        self.seen.append(images)
        bright = images[:, :, :10, :10].mean(dim=(1, 2, 3))
        logits = torch.stack([5 - 10 * bright, 10 * bright - 5, torch.full_like(bright, -9)], dim=1)
        return Output(logits=logits)


def scene():
    images = torch.zeros(4, 3, SIDE, SIDE)
    images[1::2, :, :10, :10] = 1
    classes = torch.tensor([0, 1, 0, 1])
    maps = torch.zeros(4, 4, 4)
    maps[:, 0, 0] = 1
    place = torch.zeros(4, 1, SIDE, SIDE, dtype=torch.bool)
    place[:, :, :10, :10] = True
    frame = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.bool)
    frame[..., -3:] = True
    return images, classes, maps, place, frame


def test_what_the_answer_hangs_on_is_measured():
    scores = dict(zip(MEASURES, retest(Corner(), *scene())[1].tolist(), strict=True))
    assert scores["whole"] > 0.99
    assert scores["other"] < 0.01
    assert scores["mark out"] < 0.01, "without the corner it is the other class"
    assert scores["mark in"] > 0.99, "the corner alone makes the other picture this class"
    assert scores["frame out"] > 0.99
    assert scores["frame in"] < 0.01


def test_each_change_is_made_to_the_right_pixels():
    model, (images, classes, maps, place, frame) = Corner(), scene()
    images = torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    retest(model, images, classes, maps, place, frame)
    whole, removed, kept, mark_out, mark_in, frame_out, frame_in, other = model.seen
    theirs = images[[1, 2, 3, 0]]
    torch.testing.assert_close(other, theirs)
    torch.testing.assert_close(whole, images)
    seen = attended(maps, (SIDE, SIDE)).expand_as(images)
    torch.testing.assert_close(removed[~seen], images[~seen])
    torch.testing.assert_close(kept[seen], images[seen])
    torch.testing.assert_close(removed[seen], blurred(images)[seen])
    inside, edge = place.expand_as(images), frame.expand_as(images)
    torch.testing.assert_close(mark_out[inside], theirs[inside])
    torch.testing.assert_close(mark_out[~inside], images[~inside])
    torch.testing.assert_close(mark_in[inside], images[inside])
    torch.testing.assert_close(mark_in[~inside], theirs[~inside])
    torch.testing.assert_close(frame_out[edge], theirs[edge])
    torch.testing.assert_close(frame_in[~edge], theirs[~edge])


def test_a_batch_of_one_class_has_no_partner():
    images, _, maps, place, frame = scene()
    scores = retest(Corner(), images, torch.ones(4, dtype=torch.long), maps, place, frame)
    assert torch.isfinite(scores[:, :3]).all()
    assert torch.isnan(scores[:, 3:]).all()


def test_partners_are_the_next_of_another_class():
    assert partners(torch.tensor([0, 0, 1, 0, 2])).tolist() == [2, 2, 3, 4, 0]
    assert partners(torch.tensor([3, 3])).tolist() == [-1, -1]
    assert partners(torch.tensor([7])).tolist() == [-1]


def test_the_attended_share_is_that_of_the_highest_values():
    maps = torch.rand(5, 4, 6, generator=torch.Generator().manual_seed(1)) - 0.5
    seen = attended(maps, (30, 40))
    assert seen.shape == (5, 1, 30, 40)
    np.testing.assert_allclose(seen.float().mean(dim=(1, 2, 3)), ATTENDED, atol=0.01)
    large = torch.nn.functional.interpolate(maps[:, None], (30, 40), mode="bilinear")
    assert (large[seen].min() >= large[0][~seen[0]].min()).item()
    for row in range(5):
        assert large[row][seen[row]].min() >= large[row][~seen[row]].max()


def test_blurring_keeps_the_mean_and_no_detail():
    images = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(2))
    soft = blurred(images)
    assert soft.std() < 0.3 * images.std()
    torch.testing.assert_close(soft.mean(), images.mean(), atol=0.02, rtol=0)
