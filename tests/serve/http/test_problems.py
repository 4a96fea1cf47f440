"""What is said instead of an answer, and the JSON of all of them."""

import json

import pytest

from lookcloser.serve.http.problems import Problem, json_bytes, json_response, problem_response


def test_json_is_ascii_and_takes_any_name():
    value = {"name": "caf\u00e9 \udce9 \u2028 <b>", "score": 1.5e-7, "none": None}
    written = json_bytes(value)
    assert written.isascii()
    assert b" " not in written.replace(b"\\udce9 \\u2028 <b>", b"").replace(b"\\u00e9 ", b"")
    assert json.loads(written) == value


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_json_has_no_word_for_is_null(number):
    """Networks that answer so are told of before; a reader of JSON is never given NaN."""
    assert json_bytes({"score": number}) == b'{"score":null}'


def test_plain_names_are_utf_8():
    assert json_bytes(["\u00e9"]).decode("utf-8") == '["\u00e9"]'


def test_an_answer_is_json():
    answer = json_response([1, "a"])
    assert (answer.status_code, answer.body) == (200, b'[1,"a"]')
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == "7"


def test_a_problem_has_the_members_of_rfc_9457():
    answer = problem_response(429, "Try again in 3 s.", {"Retry-After": "3"}, "/v1/predict")
    assert json.loads(answer.body) == {
        **{"type": "about:blank", "title": "Too Many Requests", "status": 429},
        "detail": "Try again in 3 s.",
    }
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "3"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "read"),
    [("/api/v1/vision/labels", True), ("/api/v1/vision/x", True), ("/api/v1/visions", False)],
)
def test_photoprism_finds_the_sentence_under_names_of_its_own(path, read):
    said = json.loads(problem_response(413, "Too large.", path=path).body)
    assert (said.get("code"), said.get("error")) == ((413, "Too large.") if read else (None, None))


def test_a_problem_keeps_its_own_headers():
    given = {"Retry-After": "5"}
    problem = Problem(503, "The server is shutting down.", given)
    problem.headers["Retry-After"] = "6"
    assert given == {"Retry-After": "5"}
    assert (problem.status_code, problem.detail) == (503, "The server is shutting down.")
    assert Problem(404, "Nothing.").headers == {}
