import pytest

from lookcloser.core.results.box_updates import move_words


@pytest.mark.parametrize(
    ("move", "words"),
    [
        ((0.6, -0.8, 0.0), "t_x +0.60 (right), t_y -0.80 (up), t_l +0.00"),
        ((-1.0, 0.004, -0.004), "t_x -1.00 (left), t_y +0.00, t_l +0.00"),
        ((0.0, 0.36, 0.93), "t_x +0.00, t_y +0.36 (down), t_l +0.93 (larger)"),
        ((0.0, 0.0, -1.0), "t_x +0.00, t_y +0.00, t_l -1.00 (smaller)"),
    ],
)
def test_each_part_has_its_direction_and_nothing_has_none(move, words):
    assert move_words(move) == words
