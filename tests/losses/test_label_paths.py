from itertools import permutations

import pytest
import torch

from lookcloser.core import LookcloserError
from lookcloser.losses import (
    label_path_loss,
    label_sets,
    minimal_loss_alignment,
    ordered_paths,
    predicted_label_alignment,
)

END = 5  # of five labels


def log_probs(images=4, steps=4, labels=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, steps, labels + 1, generator=generator).log_softmax(dim=-1)


def sets(*rows, labels=5):
    targets = torch.zeros(len(rows), labels)
    for row, members in enumerate(rows):
        targets[row, list(members)] = 1
    return targets


def test_the_loss_of_a_path_is_one_target_a_step_and_end():
    given = log_probs(3)
    paths = torch.tensor([[4, 1, -1], [0, 2, 3], [-1, -1, -1]])
    expected = 0.0
    for row, path in enumerate([[4, 1, END], [0, 2, 3, END], [END]]):
        expected -= sum(given[row, step, label].item() for step, label in enumerate(path))
    assert label_path_loss(given, paths, END).item() == pytest.approx(expected / 3)


def test_what_comes_after_end_does_not_count():
    given = log_probs(1).requires_grad_()
    label_path_loss(given, torch.tensor([[2, -1, -1]]), END).backward()
    assert given.grad[0, 2:].abs().sum() == 0
    assert (given.grad[0, :2] != 0).sum() == 2


def test_a_ruled_out_label_after_end_is_no_nan():
    given = log_probs(1)
    given[0, 2:] = -torch.inf
    assert torch.isfinite(label_path_loss(given, torch.tensor([[2, -1, -1]]), END))


def test_orders_by_rank():
    targets = sets([0, 2, 4], [3], [])
    ranks = torch.tensor([5.0, 0.0, 1.0, 9.0, 3.0])
    assert ordered_paths(targets, ranks).tolist() == [[2, 4, 0], [3, -1, -1], [-1, -1, -1]]


def test_equal_ranks_keep_the_order_of_the_labels():
    assert ordered_paths(sets([4, 1, 3]), torch.zeros(5)).tolist() == [[1, 3, 4]]


def test_each_image_may_have_its_own_ranks():
    ranks = torch.tensor([[0.0, 1, 2, 3, 4], [4.0, 3, 2, 1, 0]])
    assert ordered_paths(sets([0, 1, 2], [0, 1, 2]), ranks).tolist() == [[0, 1, 2], [2, 1, 0]]


def test_images_without_labels_still_have_a_place():
    assert ordered_paths(sets([], []), torch.zeros(5)).tolist() == [[-1], [-1]]


def test_sets_and_paths_are_inverse():
    targets = sets([0, 2, 4], [3], [], [0, 1, 2, 3, 4])
    found = label_sets(ordered_paths(targets, torch.arange(5.0)), 5)
    assert found.dtype == torch.bool
    assert torch.equal(found.float(), targets)


def cheapest(costs, labels):
    """By trying every order."""
    return min(
        sum(costs[step, label].item() for step, label in enumerate(order))
        for order in permutations(labels)
    )


@pytest.mark.parametrize("seed", range(20))
def test_minimal_loss_alignment_is_the_cheapest_of_all_orders(seed):
    given = log_probs(4, seed=seed)
    members = [[0, 2, 4], [3], [], [1, 2, 3, 4]]
    paths = minimal_loss_alignment(given, sets(*members))
    assert torch.equal(label_sets(paths, 5), sets(*members) > 0)
    for row, labels in enumerate(members):
        path = [label for label in paths[row].tolist() if label >= 0]
        assert path == paths[row, : len(labels)].tolist(), "labels come first, then the padding"
        cost = -sum(given[row, step, label].item() for step, label in enumerate(path))
        assert cost == pytest.approx(cheapest(-given[row], labels))


@pytest.mark.parametrize("seed", range(20))
def test_predicted_label_alignment_keeps_right_predictions(seed):
    given = log_probs(3, seed=seed)
    members = [[0, 2, 4], [1, 3, 4], [1, 2]]
    predicted = torch.tensor([[2, 1, 3, 0], [3, 4, 1, 0], [0, 3, 1, 2]])
    paths = predicted_label_alignment(given, sets(*members), predicted)
    assert torch.equal(label_sets(paths, 5), sets(*members) > 0)
    assert paths[0, 0] == 2, "right at the first step"
    assert paths[1].tolist() == [3, 4, 1, -1], "all right"
    # The third set has two labels: what is predicted at its third step does not count.
    others = [[0, 4], [], [1, 2]]
    for row, labels in enumerate(others):
        free = [step for step in range(len(members[row])) if paths[row, step] in labels]
        cost = -sum(given[row, step, paths[row, step]].item() for step in free)
        assert cost == pytest.approx(cheapest(-given[row, free], labels))


def test_predicted_label_alignment_loses_no_label_to_padding():
    paths = predicted_label_alignment(
        log_probs(2), sets([2, 4], [0, 4]), torch.tensor([[-1, -1, -1, -1], [0, -1, -1, -1]])
    )
    assert torch.equal(label_sets(paths, 5), sets([2, 4], [0, 4]) > 0)
    assert paths[1].tolist() == [0, 4, -1, -1]


def test_alignment_lives_with_ruled_out_labels():
    given = log_probs(1)
    given[0, 0, 2] = given[0, 1, 3] = -torch.inf
    assert minimal_loss_alignment(given, sets([2, 3]))[0, :2].tolist() == [3, 2]


def test_alignment_takes_no_gradient_and_half_precision():
    given = log_probs(2).bfloat16().requires_grad_()
    paths = minimal_loss_alignment(given, sets([0, 1], [2]))
    assert not paths.requires_grad
    assert paths.dtype == torch.long


def test_too_few_steps():
    with pytest.raises(LookcloserError, match="2 steps for sets of up to 3 labels"):
        minimal_loss_alignment(log_probs(1, steps=2), sets([0, 1, 2]))
