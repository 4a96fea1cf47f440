import pytest
import torch

from lookcloser.core import LookcloserError
from lookcloser.layers.class_head import ClassHead, best_classes, chosen_classes


def test_logits_are_the_means_of_the_maps():
    torch.manual_seed(0)
    head, features = ClassHead(6, 4).double(), torch.randn(2, 6, 3, 5).double()
    torch.nn.init.normal_(head.bias)
    maps = head.maps(features)
    assert maps.shape == (2, 4, 3, 5)
    torch.testing.assert_close(maps.mean(dim=(2, 3)) + head.bias, head(features.mean(dim=(2, 3))))
    by_hand = sum(head.weight[2, d] * features[:, d] for d in range(6))
    torch.testing.assert_close(maps[:, 2], by_hand)


def test_maps_of_some_classes_are_those_of_all():
    torch.manual_seed(0)
    head, features = ClassHead(6, 4).double(), torch.randn(2, 6, 3, 5).double()
    tokens = torch.tensor([[3, 0], [1, 1]])
    every = head.maps(features)
    expected = torch.stack([every[row, tokens[row]] for row in range(2)])
    torch.testing.assert_close(head.maps(features, tokens), expected)


def test_half_precision_features_give_half_precision_maps():
    assert ClassHead(3, 2).maps(torch.zeros(1, 3, 2, 2).bfloat16()).dtype == torch.bfloat16


def test_its_weights_are_those_of_a_linear_layer_and_small():
    torch.manual_seed(0)
    head = ClassHead(500, 20)
    assert set(head.state_dict()) == {"weight", "bias"}
    assert 0.008 < head.weight.std() < 0.012
    assert not head.bias.any()


def test_classes_are_chosen_by_index_or_by_score():
    logits = torch.tensor([[0.0, 3.0, 1.0], [5.0, -1.0, 2.0]])
    tokens = torch.tensor([[1], [2]])
    assert chosen_classes(logits, None, None) is None
    assert chosen_classes(logits, tokens, None) is tokens
    assert chosen_classes(logits, None, 2).tolist() == [[1, 2], [0, 2]]
    assert best_classes(logits, 9).tolist() == [[1, 2, 0], [0, 2, 1]]


@pytest.mark.parametrize("k", [1, 3, 40])
def test_of_equal_scores_the_first_class_is_the_best(k):
    logits = torch.zeros(2, 1000)
    logits[1, [7, 400, 900]] = 1
    expected = [7, 400, 900, *(index for index in range(40) if index != 7)][:k]
    assert best_classes(logits, k).tolist() == [list(range(k)), expected]


@pytest.mark.parametrize(
    ("targets", "top"), [(1, None), (torch.zeros(2, 1).long(), 1), ([1], None)]
)
def test_what_is_neither_is_named(targets, top):
    with pytest.raises(LookcloserError, match="or a number of best classes as top"):
        chosen_classes(torch.zeros(2, 3), targets, top)
