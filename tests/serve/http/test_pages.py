"""Pages for people: complete, escaped, and without any address outside."""

import io
import re
import shlex
from html import unescape
from html.parser import HTMLParser

from PIL import Image

from lookcloser.serve.http.pages import docs_page


class Links(HTMLParser):
    """Everything that a page would load, and its tags."""

    def __init__(self):
        super().__init__()
        self.links, self.tags, self.names = [], set(), set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.names |= {value for name, value in attributes if name == "id"}
        self.links += [value for name, value in attributes if name in {"src", "href", "action"}]


def test_the_docs_describe_every_address_and_load_nothing_from_outside(insects):
    page = insects.get("/docs")
    paths = insects.get("/openapi.json").json()["paths"]
    assert {"/v1/predict", "/healthz", "/setup", "/api/v1/vision/labels"} <= paths.keys()
    for path in paths:
        assert f" {path}<" in page.text
    links = Links()
    links.feed(page.text)
    assert "script" not in links.tags
    objects = insects.get("/openapi.json").json()["components"]["schemas"]
    inside = {link[1:] for link in links.links if link.startswith("#")}
    assert inside
    assert inside <= objects.keys() & links.names, "what a table names can be looked up"
    outside = {link for link in links.links if not link.startswith("#")}
    assert outside == {"/", "/docs.css", "/openapi.json"}
    for link in outside:
        assert insects.get(link).status_code == 200


def test_the_docs_say_what_a_status_means_and_how_to_ask(insects):
    page = insects.get("/docs").text
    assert "415 Unsupported Media Type" in page
    example = unescape(re.search(r"<pre>(curl .*)</pre>", page)[1])
    *_, option, file, address = shlex.split(example)
    assert (option, file) == ("--data-binary", "@photo.jpg")
    photo = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(photo, "JPEG")
    said = {"content-type": "application/x-www-form-urlencoded"}  # by curl, of any body
    answered = insects.post(address, content=photo.getvalue(), headers=said)
    assert answered.status_code == 200, answered.text


def test_the_page_and_its_files(insects):
    page = insects.get("/")
    links = Links()
    links.feed(page.text)
    own = [link for link in links.links if not link.startswith("data:")]
    assert set(own) == {"page.css", "page.js"}
    for link in own:
        answer = insects.get(f"/{link}")
        assert answer.status_code == 200
        assert not re.search(r"https?://(?!localhost)", answer.text)


def test_the_docs_escape_what_they_show():
    evil = "<script>alert(1)</script>"
    operation = {
        "summary": evil,
        "parameters": [{"name": evil, "schema": {"enum": [evil]}, "description": evil}],
        "responses": {"200": {"content": {evil: {"schema": {"type": evil}}}}},
    }
    document = {
        "info": {"title": evil, "version": evil, "summary": evil},
        "paths": {f"/{evil}": {"get": operation}},
        "components": {"schemas": {evil: {"title": evil}}},
    }
    assert "<script" not in docs_page(document, f"http://{evil}/")
