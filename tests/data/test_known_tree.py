from pathlib import Path
from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.data import Catalog, read_as_trained, read_data
from lookcloser.data.known_tree import read_known_tree
from lookcloser.data.read import read_to_score

NAMES = ("black", "finches/common", "gold", "ring", "warblers/common")
PARENTS = {
    "black": "warblers",
    "warblers/common": "warblers",
    "finches/common": "finches",
    "gold": "finches",
    "ring": "gulls",
}
DEEP = {"yellow": "birds/small/warblers", "birds/small/warblers": "birds/small", "cat": "mammals"}


def header(names: tuple[str, ...] = NAMES, parents: dict[str, str] | None = None) -> ModelHeader:
    arguments = {"num_classes": len(names)}
    groups = PARENTS if parents is None else parents
    return ModelHeader("cam", arguments, "classification", names, parents=groups)


def labels_of(catalog: Catalog) -> dict[str, str]:
    return {sample.name.rpartition("/")[0]: sample.labels[0] for sample in catalog.samples}


def read(root: Path, **known: Any) -> Catalog:
    return read_as_trained(root, header(**known), val_share=0, test_share=0)


@pytest.mark.parametrize(
    ("folder", "label", "group"),
    [
        ("warblers/green", "green", "warblers"),
        ("warblers/black", "black", "warblers"),
        ("warblers/common", "warblers/common", "warblers"),
        ("gulls/common", "gulls/common", "gulls"),
        ("gulls/gulls", "gulls/gulls", "gulls"),
        ("warblers/gold", "warblers/gold", "warblers"),  # a known name in another group
        ("archive/birds/finches/red", "red", "finches"),
        ("black", "black", None),
        ("black/images", "black", None),
        ("new/images", "new", None),
        ("parrots/gray", "gray", "parrots"),
        # Below a folder without images all are groups.
        ("finches/red/2024/may", "may", "finches/red/2024"),
    ],
)
def test_one_folder_of_a_tree_is_what_it_is_in_the_whole(
    folder: str, label: str, group: str | None, write: Any
) -> None:
    catalog = read(write(f"{folder}/1.jpg", f"{folder}/2.jpg"))
    assert catalog.names == (label,)
    assert catalog.parents.get(label) == group
    assert {sample.split for sample in catalog.samples} == {"train"}


def test_a_part_of_a_tree_is_read_as_in_the_whole(write: Any) -> None:
    """Whatever is left out: the labels are those of one reading of everything."""
    folders = ["warblers/black", "warblers/common", "finches/common", "finches/gold", "gulls/ring"]
    more = ["warblers/green", "gulls/common", "finches/ivory", "gulls/ivory", "owls/snowy"]
    root = write(*(f"whole/{folder}/1.jpg" for folder in (*folders, *more)))
    whole = read_data(root / "whole", val_share=0, test_share=0)
    for left in range(len(more)):
        kept = [folder for number, folder in enumerate(more) if number not in (left, 3)]
        write(*(f"part{left}/{folder}/1.jpg" for folder in kept))
        found, expected = labels_of(read(root / f"part{left}")), labels_of(whole)
        alone = {"finches/ivory": "ivory"}  # no other is called so
        assert found == {folder: alone.get(folder, expected[folder]) for folder in kept}


def test_splits_stay_splits(write: Any) -> None:
    catalog = read(write("train/gulls/ring/1.jpg", "test/warblers/common/1.jpg"))
    assert labels_of(catalog) == {
        "train/gulls/ring": "ring",
        "test/warblers/common": "warblers/common",
    }
    assert {sample.split for sample in catalog.samples} == {"train", "test"}
    with pytest.raises(LookcloserError, match="several folders of one split"):
        read(write("twice/val/gulls/ring/1.jpg", "twice/valid/gulls/ring/1.jpg") / "twice")


def test_groups_are_known_by_the_end_of_their_path(write: Any) -> None:
    """A training of an unpacked archive has its folder in the names of groups."""
    catalog = read(
        write("warblers/green/1.jpg", "small/owls/pygmy/1.jpg", "mammals/cat/1.jpg"),
        names=("cat", "yellow"),
        parents=DEEP,
    )
    assert catalog.names == ("cat", "green", "pygmy")
    assert catalog.parents == {
        "green": "birds/small/warblers",
        "pygmy": "birds/small/owls",
        "birds/small/owls": "birds/small",
        "cat": "mammals",
    }


def test_two_new_classes_of_one_name_have_their_paths(write: Any) -> None:
    catalog = read(write("gulls/small/1.jpg", "owls/small/1.jpg", "gulls/large/1.jpg"))
    assert catalog.names == ("gulls/small", "large", "owls/small")


def test_a_folder_named_like_a_group_with_images_in_it_is_told(write: Any) -> None:
    assert read(write("a/warblers/1.jpg") / "a").names == ("warblers",)
    deep = read(write("b/small/1.jpg") / "b", names=("cat", "yellow"), parents=DEEP)
    assert deep.names == ("birds/small",), "the name of the group, which is no class"


def test_names_are_compared_as_people_see_them(write: Any) -> None:
    names, parents = ("mésange", "rouge-gorge"), {"mésange": "été", "rouge-gorge": "hiver"}
    catalog = read(write("e\u0301te\u0301/me\u0301sange/1.jpg"), names=names, parents=parents)
    assert catalog.names == ("mésange",)
    assert catalog.parents == {"mésange": "été"}


def test_what_is_known_as_it_is_stays(write: Any) -> None:
    """And so does what has no groups, no class folders or columns."""
    root = write("a/black/1.jpg", "a/ring/deep/er/1.jpg", "b/dog/1.jpg", "b/finches/x/1.jpg")
    assert labels_of(read(root / "a")) == {"black": "black", "ring/deep/er": "ring"}
    assert read(root / "b", parents={}).names == ("dog", "finches")
    (root / "empty").mkdir()
    with pytest.raises(LookcloserError, match="the folder is empty"):
        read(root / "empty")
    table = write("t/1.jpg")
    (table / "t" / "all.csv").write_text("image,label\n1.jpg,finches\n")
    assert read(table / "t").layout == "table"
    assert read_known_tree(root / "empty", NAMES, PARENTS) is None


def test_a_test_set_of_one_species_a_family_is_scored(write: Any) -> None:
    catalog = read_to_score(write("warblers/common/1.jpg", "gulls/ring/1.jpg"), header())
    assert catalog.names == ("ring", "warblers/common")
