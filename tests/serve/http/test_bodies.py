"""The images of a request: from a form or a raw body, as many as are allowed, in memory alone."""

import asyncio
import tempfile

import pytest
from starlette.requests import Request

from lookcloser.serve.http.bodies import read_uploads
from lookcloser.serve.http.problems import Problem
from lookcloser.serve.images import Upload

FORM = "multipart/form-data; boundary=b"


def read(body, kind=FORM, most=3, piece=7):
    """The uploads of a body that comes in small pieces."""
    parts = [body[at : at + piece] for at in range(0, len(body), piece)] or [b""]
    messages = [{"type": "http.request", "body": one, "more_body": True} for one in parts]
    messages[-1]["more_body"] = False
    coming = iter(messages)

    async def receive():
        return next(coming)

    headers = [] if kind is None else [(b"content-type", kind.encode("latin-1"))]
    scope = {"type": "http", "method": "POST", "headers": headers}
    return asyncio.run(read_uploads(Request(scope, receive), most))


def form(*parts, end=b"--b--\r\n"):
    whole = b""
    for disposition, content in parts:
        head = f"--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
        whole += head.encode() + content + b"\r\n"
    return whole + end


def file(name, content=b"x"):
    return f'name="image"; filename="{name}"', content


def refused(*given, **named):
    with pytest.raises(Problem) as told:
        read(*given, **named)
    return told.value.status_code, told.value.detail


@pytest.mark.parametrize(
    "kind",
    [
        *(None, "", "image/png", "IMAGE/X-Odd; q=1", "application/octet-stream", " image/ ;"),
        "application/x-www-form-urlencoded",  # of curl --data-binary
    ],
)
def test_a_raw_body_is_one_image_without_a_name(kind):
    assert read(b"\xff\r\n--b raw", kind) == [Upload(b"\xff\r\n--b raw", None)]
    assert refused(b"", kind) == (422, "There is no image: the body is empty.")


@pytest.mark.parametrize(
    "kind",
    [
        *("text/plain", "application/json", "multipart/mixed", "images/x"),
        "application/x-www-form-urlencoded",  # where the body is a web form indeed
    ],
)
def test_another_kind_of_body_is_not_read(kind):
    status, said = refused(b"x", kind)
    assert status == 415
    assert "multipart/form-data" in said


def test_files_of_a_form_come_in_order_with_the_last_part_of_their_names():
    body = form(
        file("a/b.png", b"1"), file("C:\\x\\c.png", b"\r\n--"), ('name="z"; filename=""', b"")
    )
    assert read(body, "Multipart/Form-Data; boundary=b") == [
        Upload(b"1", "b.png"), Upload(b"\r\n--", "c.png"), Upload(b"", None),
    ]  # fmt: skip


def test_as_many_as_are_allowed_and_no_more():
    files = [file(f"{number}.png") for number in range(4)]
    assert len(read(form(*files[:3]))) == 3
    assert refused(form(*files)) == (413, "A request may hold 3 images at most.")
    many = form(*files * 5)
    assert refused(many) == (413, "A request may hold 3 images at most.")
    assert refused(many, most=1) == (413, "A request may hold 1 image at most.")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (form(), "the form has no file"),
        (form(('name="image"', b"text")), "is no file"),
        (form(file("a.png"), ('name="top"', b"5")), "is no file"),
        (form(*[(f'name="{number}"', b"") for number in range(9)]), "each with a filename"),
        (form(('name="image"', bytes(2**21))), "is no file"),
        (form(("name=\"image\"; filename*=UTF-8''a.png", b"x")), "each with a filename"),
        (form(('filename="a.png"', b"x")), "broken"),
        (b"--b\r\nno header", "form is broken|has no file"),
        (b"nothing", "broken"),
    ],
)
def test_forms_that_are_refused(body, said):
    with pytest.raises(Problem, match=said) as told:
        read(body)
    assert told.value.status_code == 422


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=", f"{FORM}; charset=undefined"]
)
def test_headers_of_a_form_that_say_nonsense(kind):
    assert refused(form(('name="\u00fc"; filename="\u00fc"', b"x")), kind)[0] == 422


def test_a_large_file_stays_in_memory(monkeypatch):
    def on_disk(*_given, **_named):
        raise AssertionError("a temporary file was made")

    for name in ("TemporaryFile", "NamedTemporaryFile"):
        monkeypatch.setattr(tempfile, name, on_disk)
    content = bytes(3 * 2**20)
    assert read(form(file("a.png", content)), piece=2**16) == [Upload(content, "a.png")]


def test_a_client_that_goes_within_a_form_is_told_apart_from_a_broken_one():
    async def gone():
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", FORM.encode())]}
    with pytest.raises(Exception, match="^$") as told:
        asyncio.run(read_uploads(Request(scope, gone), 3))
    assert type(told.value).__name__ == "ClientDisconnect"
