"""Sections of pictures, drawn from what `Sheet` holds and nothing else."""

import base64
import io

import pytest
from PIL import Image

from lookcloser.core import Label, Prediction, Region
from lookcloser.core.types import Sheet, Sight
from lookcloser.report import write_report
from lookcloser.report.sights import PANEL, sheet_data


@pytest.fixture
def sheet(photos, tmp_path):
    def sight(path):
        labels = (Label("<owl>", 0.75, 0),)
        prediction = Prediction("classification", labels, (), (400, 300), path)
        box = (100, 60, 300, 240)
        moved = Region("scale", "<owl>", 0.75, box, step=1, move=(0.6, -0.8, 0.0))
        return Sight(prediction, {"view <1>": moved, "view 2": Region("map", "<owl>", 0.75, box)})

    sights = (sight(photos[0]), sight(tmp_path / "gone.jpg"), sight(photos[1]))
    return Sheet("What & why", "How to read it.", sights)


def test_each_image_that_is_there_is_drawn_once_as_it_is_and_once_a_view(sheet):
    data = sheet_data(sheet)
    assert (data["title"], data["key"]) == ("What & why", "what-why")
    assert [sight["name"] for sight in data["sights"]] == ["photo0.jpg", "photo1.jpg"]
    for sight in data["sights"]:
        assert [view["name"] for view in sight["views"]] == ["original", "view <1>", "view 2"]
        assert [bool(view["words"]) for view in sight["views"]] == [False, True, False]
        pictures = [base64.b64decode(view["src"].split(",")[1]) for view in sight["views"]]
        assert len(set(pictures)) == 3
        for picture in pictures:
            assert Image.open(io.BytesIO(picture)).size == (PANEL, round(PANEL * 3 / 4))


def test_the_page_has_it_as_a_section_with_escaped_names(sheet, bare, tmp_path, parse):
    page = parse(write_report(tmp_path / "r.html", bare, sheets=[sheet]).read_text())
    assert page.having(id="what-why")
    assert page.having(href="#what-why")
    for words in ("What & why", "How to read it.", "view <1>", "t_x +0.60 (right)", "<owl>"):
        assert words in page.text
    alts = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert alts.count("view <1>: t_x +0.60 (right), t_y -0.80 (up), t_l +0.00") == 2
    assert not page.open, "every tag is closed"
