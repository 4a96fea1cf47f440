import matplotlib
import numpy as np
import pytest

from lookcloser.core.drawing.colormaps import COLORMAPS, color_table
from lookcloser.core.errors import LookcloserError


@pytest.mark.parametrize("name", COLORMAPS)
def test_tables_are_those_of_matplotlib(name):
    expected = matplotlib.colormaps[name](np.arange(256))[:, :3] * 255
    np.testing.assert_allclose(color_table(name), expected, atol=0.51)


def test_a_table_cannot_be_changed_and_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="read-only"):
        color_table("inferno")[0] = 1
    with pytest.raises(LookcloserError, match="infernoo: unknown color map. Close: inferno"):
        color_table("infernoo")
