"""NUS-WIDE: lists of images beside columns of 0 and 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data.readers import nus_wide


@pytest.fixture
def data(write: Any) -> Any:
    """The data set of four images and these files."""

    def data(**files: str) -> Path:
        root: Path = write(*(f"Flickr/a/{i}.jpg" for i in range(4)))
        for name, text in files.items():
            path = root / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".txt").write_text(text)
        return root

    return data


def test_one_list_without_splits(data: Any) -> None:
    root = data(
        Imagelist="a\\0.jpg\n\na\\2.jpg\n",
        AllLabels__Labels_sky="0\n1\n",
        AllLabels__Labels_air_port="1\n1\n",
        AllLabels__Labels_none="0\n0\n",
        TrainTestLabels__Labels_sky_Train="1\n",  # of a list that is not there
    )
    assert nus_wide.recognizes(root)
    catalog = nus_wide.read(root, skip_missing=False)
    assert catalog.names == ("air_port", "none", "sky")
    assert [(s.name, s.labels, s.split) for s in catalog.samples] == [
        ("Flickr/a/0.jpg", ("air_port",), None), ("Flickr/a/2.jpg", ("air_port", "sky"), None)
    ]  # fmt: skip


def test_each_list_has_its_own_columns(data: Any) -> None:
    root = data(
        ImageList__TrainImagelist="a/0.jpg\na/1.jpg\n",
        ImageList__TestImagelist="a/3.jpg\n",
        Groundtruth__TrainTestLabels__Labels_sky_Train="0\n1\n",
        Groundtruth__TrainTestLabels__Labels_sky_Test="1\n",
        Groundtruth__AllLabels__Labels_sky="1\n1\n1\n1\n",  # of all images, in another order
    )
    found = nus_wide.read(root, skip_missing=False).samples
    assert [(s.labels, s.split) for s in found] == [((), "train"), (("sky",), "train"),
                                                    (("sky",), "test")]  # fmt: skip


def test_a_missing_image_keeps_the_lines_of_the_others(data: Any) -> None:
    root = data(Imagelist="a/9.jpg\na/1.jpg\n", AllLabels__Labels_sky="1\n0\n")
    with pytest.raises(LookcloserError, match=r"^Imagelist\.txt line 1: 'a/9\.jpg' not found"):
        nus_wide.read(root, skip_missing=False)
    catalog = nus_wide.read(root, skip_missing=True)
    assert [(s.name, s.labels) for s in catalog.samples] == [("Flickr/a/1.jpg", ())]
    assert catalog.skipped == (("a/9.jpg", "Imagelist.txt line 1: not found"),)


def test_a_list_alone_or_labels_alone_are_no_nus_wide(data: Any, tmp_path: Path) -> None:
    assert not nus_wide.recognizes(data(AllLabels__Labels_sky="1\n"))
    assert not nus_wide.recognizes(tmp_path / "Flickr")
    assert not nus_wide.recognizes(tmp_path / "Flickr/a/0.jpg")


def test_a_list_that_leads_out_is_refused(data: Any) -> None:
    root = data(Imagelist="..\\..\\secret.jpg\n", AllLabels__Labels_sky="1\n")
    with pytest.raises(LookcloserError, match=r"Imagelist\.txt: .* is outside of"):
        nus_wide.read(root, skip_missing=False)
