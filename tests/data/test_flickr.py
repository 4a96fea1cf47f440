from pathlib import Path
from typing import Any

import pytest
from torchvision.datasets import Flickr30k

from lookcloser.core import LookcloserError
from lookcloser.data import Catalog, read_data

TOKENS = (
    "1.jpg#0\tA dog , running .",
    "1.jpg#1\ttwo # dogs\t!",
    "2.jpg#0\tThe sea",
    "2.jpg#1\tWaves",
    "3.jpg#0\tA boat",
)
EXPECTED = {
    "1.jpg": ("A dog , running .", "two # dogs\t!"),
    "2.jpg": ("The sea", "Waves"),
    "3.jpg": ("A boat",),
}


def save(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read(path: Path, **options: Any) -> Catalog:
    return read_data(path, val_share=0, test_share=0, **options)


def captions_of(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    return {sample.name.rpartition("/")[2]: sample.captions for sample in catalog.samples}


def error_of(path: Path) -> str:
    with pytest.raises(LookcloserError) as caught:
        read_data(path)
    return str(caught.value)


@pytest.fixture
def photos(write: Any) -> Path:
    root: Path = write(*(f"Flicker8k_Dataset/{i}.jpg" for i in "123"))
    return root


@pytest.mark.parametrize("place", ["Flickr8k.token.txt", "results_20130124.token"])
def test_tokens_beside_the_images_as_torchvision_reads_them(photos: Path, place: str) -> None:
    path = save(photos / place, *TOKENS[:1], *TOKENS[2:])
    catalog = read(photos)
    assert (catalog.layout, catalog.task, catalog.names) == ("Flickr captions", "captioning", ())
    assert catalog.samples[0].name == "Flicker8k_Dataset/1.jpg"
    assert catalog.samples[0].source == photos / "Flicker8k_Dataset/1.jpg"
    theirs = Flickr30k(str(photos), str(path)).annotations
    assert captions_of(catalog) == {name: tuple(said) for name, said in theirs.items()}
    assert captions_of(read(path)) == captions_of(catalog)


def test_signs_within_a_caption(photos: Path) -> None:
    save(photos / "Flickr8k.token.txt", *TOKENS)
    assert captions_of(read(photos)) == EXPECTED


def test_the_published_folders_with_their_splits(photos: Path, write: Any) -> None:
    texts = photos / "Flickr8k_text"
    save(texts / "Flickr8k.token.txt", *TOKENS, "4.jpg.1#0\tA name without a file")
    for split, name in {"train": "1.jpg", "dev": "2.jpg", "test": "3.jpg"}.items():
        save(texts / f"Flickr_8k.{split}Images.txt", name)
    write("Flicker8k_Dataset/4.jpg")
    catalog = read_data(photos)
    assert captions_of(catalog) == EXPECTED
    assert [sample.split for sample in catalog.samples] == ["train", "val", "test"]
    assert catalog.notes == ("1 image ('4.jpg.1') in no list of a split left out",)


def test_an_image_in_two_lists(photos: Path) -> None:
    save(photos / "Flickr8k.token.txt", *TOKENS)
    for split in ("train", "test"):
        save(photos / f"Flickr_8k.{split}Images.txt", "1.jpg")
    assert error_of(photos) == "Flickr_8k.trainImages.txt: '1.jpg' is in test already."


def test_results_with_bars(photos: Path) -> None:
    lines = (
        "image_name| comment_number| comment",
        "1.jpg| 0| A dog , running .",
        '1.jpg| 1| He said "sit" | and it sat',
        # The published file has a line like this one.
        "2.jpg| 4   A dog runs across the grass .",
    )
    path = save(photos / "results.csv", *lines)
    expected = {
        "1.jpg": ("A dog , running .", 'He said "sit" | and it sat'),
        "2.jpg": ("A dog runs across the grass .",),
    }
    assert captions_of(read(photos)) == captions_of(read(path)) == expected


def test_captions_with_commas(photos: Path) -> None:
    lines = (
        "image,caption",
        "1.jpg,A dog , running .",
        '1.jpg,"A dog , running , ""fast"" ."',
        '2.jpg,"Stop" says the sign\r',
        "",
        "3.jpg,A boat",
    )
    save(photos / "captions.txt", *lines)
    assert captions_of(read(photos)) == {
        "1.jpg": ("A dog , running .", 'A dog , running , "fast" .'),
        "2.jpg": ('"Stop" says the sign',),
        "3.jpg": ("A boat",),
    }


def test_images_two_folders_below(write: Any) -> None:
    root = write("flickr30k_images/flickr30k_images/1.jpg")
    save(root / "results.csv", "image_name| comment_number| comment", "1.jpg| 0| a")
    assert read(root).samples[0].name == "flickr30k_images/flickr30k_images/1.jpg"


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("results.csv", ("image,label", "Flicker8k_Dataset/1.jpg,a")),
        ("captions.txt", ("Our holidays", "1.jpg,A dog")),
        ("captions.txt", ()),
        ("notes.token.txt", ("nothing of the kind",)),
    ],
)
def test_other_files_of_these_names_are_not_claimed(
    photos: Path, name: str, lines: tuple[str, ...]
) -> None:
    save(photos / name, *lines)
    assert read_data(photos).layout in {"table", "class folders"}


def test_text_that_is_not_utf8_is_not_claimed(photos: Path) -> None:
    (photos / "captions.txt").write_bytes(b"image,caption\xe4\n")
    assert read_data(photos).layout == "class folders"


def test_an_image_that_is_not_there(photos: Path) -> None:
    save(photos / "Flickr8k.token.txt", *TOKENS, "9.jpg#0\ta")
    assert error_of(photos).startswith(
        "Flickr8k.token.txt line 6: 'Flicker8k_Dataset/9.jpg' not found (1 of 4)."
    )
    assert captions_of(read(photos, skip_missing=True)) == EXPECTED


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2.jpg A dog", "line 2: '2.jpg A dog' is not an image with a caption"),
        ("2.jpg#0\t ", "line 2: the caption is empty"),
        ("../secret.jpg#0\ta", "line 2: '../secret.jpg' is outside of"),
        ("/etc/passwd#0\ta", "line 2: '/etc/passwd' is outside of"),
    ],
)
def test_what_is_wrong_is_named(photos: Path, line: str, message: str) -> None:
    save(photos / "Flickr8k.token.txt", TOKENS[0], line)
    assert f"Flickr8k.token.txt {message}" in error_of(photos)


def test_of_two_files_one_must_be_given(photos: Path) -> None:
    save(photos / "Flickr8k.token.txt", *TOKENS)
    path = save(photos / "captions.txt", "image,caption", "1.jpg,a")
    assert (
        "several files of captions (Flickr8k.token.txt, captions.txt). Give one of them."
        in error_of(photos)
    )
    assert captions_of(read(path)) == {"1.jpg": ("a",)}
