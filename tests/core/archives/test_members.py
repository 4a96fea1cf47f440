"""Members of archives by their place, of any writer, and of files that were made to do harm."""

import io
import os
import tarfile

import numpy as np
import pytest
from PIL import Image

from lookcloser.core import LookcloserError
from lookcloser.core.archives import Packed
from lookcloser.core.archives.members import members
from lookcloser.core.images import load_image

LONG = "folder/" + "n" * 120 + ".jpg"


def archive(path, form, names=("a.jpg", "b.json"), mtime=0):
    with tarfile.open(path, "w", format=form) as tar:
        folder = tarfile.TarInfo("sub")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        link = tarfile.TarInfo("sub/link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        for number, name in enumerate(names):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = 600 * number, mtime
            tar.addfile(entry, io.BytesIO(bytes([65 + number]) * entry.size))
    return path


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_those_of_tarfile_in_every_form(tmp_path, form):
    names = ["a.jpg", "b.json", "é.png"]
    if form != tarfile.USTAR_FORMAT:
        names += [LONG, "after.jpg"]
    # A time with a fraction makes an extended header in front of each member, as WebDataset writes.
    mtime = 1.5 if form == tarfile.PAX_FORMAT else 1
    path = archive(tmp_path / "a.tar", form, names, mtime)
    found = list(members(path))
    assert [one.name for one in found] == names
    with tarfile.open(path) as tar:
        plain = [entry for entry in tar if entry.isreg()]
        assert [(one.offset, one.size) for one in found] == [
            (entry.offset_data, entry.size) for entry in plain
        ]
        for one, entry in zip(found, plain, strict=True):
            assert one.read() == tar.extractfile(entry).read()


def test_archives_of_webdataset_are_read(tmp_path):
    webdataset = pytest.importorskip("webdataset", reason="of the extra scale")
    with webdataset.TarWriter(str(tmp_path / "w.tar")) as writer:
        writer.write({"__key__": "0001", "jpg": b"12", "cls": b"7"})
    assert {one.name: one.read() for one in members(tmp_path / "w.tar")} == {
        "0001.jpg": b"12",
        "0001.cls": b"7",
    }


def test_an_image_is_read_from_its_place(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for name, content in (("1.png", buffer.getvalue()), ("2.png", b""), ("3.png", b"%!PS")):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    good, empty, script = members(path)
    assert (np.asarray(load_image(good)) == pixels).all()
    with pytest.raises(LookcloserError, match="a.tar/2.png: the file is empty"):
        load_image(empty)
    with pytest.raises(LookcloserError, match="a.tar/3.png: not an image that can be read"):
        load_image(script)
    with pytest.raises(LookcloserError, match="too large"):
        load_image(good, max_pixels=10)
    os.truncate(path, good.offset + 3)
    with pytest.raises(LookcloserError, match="archive ends before"):
        load_image(good)
    path.unlink()
    with pytest.raises(LookcloserError, match="a.tar/1.png: cannot be read: No such file"):
        load_image(good)


def test_what_is_no_whole_archive_is_refused(tmp_path):
    path = archive(tmp_path / "a.tar", tarfile.USTAR_FORMAT)
    whole = path.read_bytes()
    last = list(members(path))[-1]
    for length in (last.offset + 3, last.offset - 100, 0):
        path.write_bytes(whole[:length])
        with pytest.raises(LookcloserError, match="cut short"):
            list(members(path))
    path.write_bytes(whole[: last.offset + 1024])  # without the empty blocks at the end
    assert [one.name for one in members(path)] == ["a.jpg", "b.json"]
    path.write_bytes(b"no archive" * 100)
    with pytest.raises(LookcloserError, match="not a tar archive"):
        list(members(path))
    damaged = bytearray(whole)
    damaged[1024 + 10] ^= 255
    path.write_bytes(damaged)
    with pytest.raises(LookcloserError, match="damaged at byte 1,024"):
        list(members(path))
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("a.jpg"))
    path.write_bytes(path.read_bytes() + b"\0" * 512)
    with pytest.raises(LookcloserError, match="compressed"):
        list(members(path))
    with pytest.raises(LookcloserError, match=r"no.tar: cannot be read: No such file"):
        list(members(tmp_path / "no.tar"))


def header(name="a.jpg", size=0, kind=tarfile.REGTYPE):
    entry = tarfile.TarInfo(name)
    entry.size, entry.type = size, kind
    return entry.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header(size=2 << 30), "a member of 2,147,483,648 bytes"),
        (header(size=5000), "cut short"),
        (header(size=1 << 40, kind=tarfile.XHDTYPE), "a header of 1,099,511,627,776 bytes"),
        (header(size=1 << 40, kind=tarfile.GNUTYPE_LONGNAME), "a header of"),
        (header(size=9, kind=tarfile.XHDTYPE) + b"9999 a=b\n".ljust(512, b"\0"), "damaged"),
        (header(size=9, kind=tarfile.XHDTYPE) + b"0 path=a\n".ljust(512, b"\0"), "damaged"),
        (header(size=5, kind=tarfile.GNUTYPE_SPARSE) + b"0" * 512, "sparse"),
        (header(size=1 << 62, kind=tarfile.XGLTYPE), None),
    ],
)
def test_sizes_that_lie_end_in_a_sentence(tmp_path, content, message):
    path = tmp_path / "a.tar"
    path.write_bytes(content + b"\0" * 512)
    if message is None:
        assert list(members(path)) == []
    else:
        with pytest.raises(LookcloserError, match=message):
            list(members(path))


def test_names_are_handed_on_as_they_stand_and_open_nothing(tmp_path):
    path = archive(tmp_path / "a.tar", tarfile.USTAR_FORMAT, ["../../etc/passwd", "/b.json"])
    assert [one.name for one in members(path)] == ["../../etc/passwd", "/b.json"]
    assert os.listdir(tmp_path) == ["a.tar"]
    assert str(Packed(path, "../x", 0, 0)) == f"{path}/../x"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_hard_link_is_the_file_that_it_names(tmp_path, form):
    """Tar writes a file with several names once: the others would be lost."""
    first = "a.jpg" if form == tarfile.USTAR_FORMAT else LONG
    entries = [(first, None), ("b.jpg", first), ("c.jpg", "b.jpg"), ("d.jpg", "nowhere.jpg")]
    entries += [("e.jpg", None), ("f.jpg", "e.jpg"), ("f.jpg", None), ("g.jpg", "f.jpg")]
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as tar:
        for number, (name, target) in enumerate(entries):
            entry = tarfile.TarInfo(name)
            if target is None:
                entry.size = 1
            else:
                entry.type, entry.linkname = tarfile.LNKTYPE, target
            tar.addfile(entry, io.BytesIO(b"%d" % number))
    found = [(one.name, one.read()) for one in members(tmp_path / "a.tar")]
    assert found == [
        *((first, b"0"), ("b.jpg", b"0"), ("c.jpg", b"0"), ("e.jpg", b"4"), ("f.jpg", b"4")),
        *(("f.jpg", b"6"), ("g.jpg", b"6")),
    ]
