import numpy as np
import pytest
from PIL import ExifTags, Image

from lookcloser.annotation.image_files import place_image, safe_names
from lookcloser.core import LookcloserError

NASTY = [
    "train/a b/1.jpg",
    "../../etc/passwd.jpg",
    "/root/x.png",
    "C:\\windows\\y.jpg",
    "..",
    ".jpg",
    "a\nb\t<&>'\".jpg",
    "A/1.jpg",
    "a/1.jpg",
    "a/1.png",
    "ü/ñ.jpg",
    "x" * 300 + ".jpg",
    "x" * 300 + "y.jpg",
    "",
]


def test_safe_names_stay_inside_and_apart():
    found = safe_names(NASTY)
    assert list(found) == NASTY
    values = list(found.values())
    assert len({value.lower() for value in values}) == len(NASTY)
    for value in values:
        assert value
        assert not set(value) & set("/\\:<>&'\"\n\t \0")
        assert not value.startswith(".")
        assert len(value) <= 125
    assert found["train/a b/1.jpg"] == "train_a_b_1"
    assert found["../../etc/passwd.jpg"] == "etc_passwd"
    assert (found["A/1.jpg"], found["a/1.jpg"], found["a/1.png"]) == ("A_1", "a_1-2", "a_1-3")


def test_safe_names_do_not_depend_on_anything_else():
    assert safe_names(NASTY) == safe_names(NASTY)


def test_an_image_is_copied_once(tmp_path):
    source, target = tmp_path / "a.png", tmp_path / "deep" / "b.jpg"
    Image.new("RGB", (4, 3), "red").save(source)
    place_image(str(source), target)
    assert not target.is_symlink()
    assert not target.samefile(source), "what a tool does to it must not reach the original"
    assert target.read_bytes() == source.read_bytes()
    target.write_bytes(b"edited")
    place_image(str(source), target)
    assert target.read_bytes() == b"edited"


def test_a_link_whose_file_has_gone_is_replaced(tmp_path):
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    target.symlink_to(tmp_path / "gone.png")
    Image.new("RGB", (4, 3)).save(source)
    place_image(str(source), target)
    assert not target.is_symlink()
    assert not (tmp_path / "gone.png").exists()


def test_a_turned_image_is_written_upright(tmp_path):
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, :15] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be turned clockwise
    source, target = tmp_path / "a.jpg", tmp_path / "b.jpg"
    Image.fromarray(pixels).save(source, exif=exif)
    place_image(str(source), target)
    assert not target.is_symlink()
    with Image.open(target) as image:
        assert image.size == (20, 30)
        upright = np.asarray(image)
    assert upright[:12].mean() > 240
    assert upright[18:].mean() < 15


def test_what_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    source = tmp_path / "a.png"
    Image.new("RGB", (4, 3)).save(source)
    with pytest.raises(LookcloserError, match="could not be written"):
        place_image(str(source), tmp_path / "file" / "b.png")
