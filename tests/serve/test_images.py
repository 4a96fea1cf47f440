"""Images as clients send them: names that are only shown, data URLs, sizes before decoding."""

import base64
import io
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from lookcloser.core.preprocessing import Preprocessing
from lookcloser.serve.http.problems import Problem
from lookcloser.serve.images import (
    Upload,
    decoded,
    from_data_url,
    give_way,
    shown_name,
    unreadable,
)

INPUT = Preprocessing((8, 8))


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (None, None),
        ("", None),
        ("a.png", "a.png"),
        ("../../etc/passwd", "passwd"),
        ("a\\..\\b.png", "b.png"),
        ("/x/C:\\y/z.png", "z.png"),
        ("C:", None),
        (".", None),
        ("/", None),
        ("caf\u00e9 \u732b.png", "caf\u00e9 \u732b.png"),
        ("a\r\nX: y", "a\\x0d\\x0aX: y"),
        ("a\u202egnp.exe", "a\\u202egnp.exe"),
        ("\udcff.png", "\\xff.png"),
        ("x" * 300, "x" * 255),
        ("\x1b" * 300, ("\\x1b" * 64)[:255]),
    ],
)
def test_names_have_no_folder_and_command_nothing(given, shown):
    assert shown_name(given) == shown


@pytest.mark.parametrize(
    ("url", "content"),
    [
        ("data:image/png;base64,YWI=", b"ab"),
        ("DATA:image/png;BASE64,YWI=", b"ab"),
        ("data:;base64,", b""),
        ("data:,a%20b%FF,c", b"a b\xff,c"),
        ("data:text/plain;base64=no,a+b", b"a+b"),
        ("data:,caf\u00e9\ud800", "caf\u00e9?".encode()),
    ],
)
def test_data_urls(url, content):
    assert from_data_url(url) == Upload(content, None)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("data:image/png;base64,YW I=", "is not base64"),
        ("data:;base64,YWI", "is not base64"),
        ("data:;base64,\ud800", "is not base64"),
        ("data:;base64,YW-_", "is not base64"),
        ("data:image/png;base64", "is not fetched"),
        ("http://127.0.0.1/a.png,b", "is not fetched"),
        ("file:///etc/passwd", "is not fetched"),
        ("", "is not fetched"),
        (" data:,a", "is not fetched"),
    ],
)
def test_what_is_no_data_url(url, said):
    with pytest.raises(Problem, match=said) as told:
        from_data_url(url)
    assert told.value.status_code == 422


def saved(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def test_an_image_is_upright_and_of_its_own_size():
    turned = Image.Exif()
    turned[274] = 6
    lying = Image.fromarray(np.repeat([[[250, 0, 0]] * 20, [[0, 0, 250]] * 20], 5, 0).astype("u1"))
    loaded = decoded(Upload(saved(lying, exif=turned)), INPUT, 200)
    assert loaded.size == (10, 20)
    assert loaded.pixels.shape == (3, 8, 8)
    assert loaded.pixels.dtype == np.uint8
    left, right = loaded.pixels[:, 4, 0], loaded.pixels[:, 4, 7]
    assert (left[2], right[0]) == (250, 250)


@pytest.mark.parametrize("name", [None, "b.png"])
def test_the_largest_image_is_read_and_one_pixel_more_is_not(name):
    upload = Upload(saved(Image.new("RGB", (20, 10))), name)
    assert decoded(upload, INPUT, 200).error is None
    refused = decoded(upload, INPUT, 199)
    assert refused.pixels is None
    assert refused.error.startswith(f"{name or 'image'}: ")
    assert unreadable(refused.error, refused.kind).status_code == 413
    broken = decoded(Upload(b"broken", name), INPUT, 200)
    assert broken.error.startswith(f"{name or 'image'}: not an image")
    assert unreadable(broken.error, broken.kind).status_code == 422
    assert unreadable(broken.error, broken.kind).detail == broken.error


def test_the_name_of_a_file_decides_nothing():
    name = "a: b.png is too large"
    broken = decoded(Upload(b"broken", name), INPUT, 200)
    assert unreadable(broken.error, broken.kind).status_code == 422
    large = decoded(Upload(saved(Image.new("L", (20, 20))), name), INPUT, 200)
    assert unreadable(large.error, large.kind).status_code == 413


def test_a_data_url_of_an_image_is_the_image():
    content = saved(Image.new("RGB", (4, 4), (1, 2, 3)))
    upload = from_data_url(f"data:image/png;base64,{base64.b64encode(content).decode()}")
    assert upload.opened(16).getpixel((0, 0)) == (1, 2, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a rank of their own on Linux")
def test_decoders_give_way_and_nobody_else_does():
    def rank():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    with ThreadPoolExecutor(1, initializer=give_way) as decoders:
        assert decoders.submit(rank).result() > rank()
