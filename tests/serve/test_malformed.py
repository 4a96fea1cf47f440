"""The requests of the benchmark, a few of each kind: whatever comes, it is no fault of the server.

`benchmarks/serving.py` sends 10,000 of them to a real server and watches its memory.
"""

from pathlib import Path

import pytest

from lookcloser.serve.limits import Limits

from ..programs import load_program

FILE = Path(__file__).parents[2] / "benchmarks" / "_malformed.py"
EACH = 6


@pytest.fixture(scope="module")
def malformed():
    return load_program("benchmarks", "_malformed")


def test_malformed_requests_are_no_fault_of_the_server(serve, files, malformed):
    client = serve(files.onnx, limits=Limits(body=1_000_000))
    kinds = len(malformed.KINDS)
    sent = 0
    for odd in malformed.requests(EACH * kinds, seed=1):
        if odd.kind == "too large" and sent > kinds:
            continue
        answer = client.request(odd.method, odd.path, content=odd.body, headers=odd.headers)
        sent += 1
        assert answer.status_code < 500, odd.kind
        assert "x-injected" not in answer.headers
        if answer.status_code >= 400 and odd.method != "HEAD":
            assert answer.headers["content-type"] == "application/problem+json", odd.kind
            assert answer.json()["detail"].endswith("."), odd.kind
    assert sent > 5 * kinds - 5
    assert client.app.tide.held == 0
    assert 'waiting_images{model="insects"} 0.0' in client.get("/metrics").text


def test_the_same_seed_gives_the_same_requests(malformed):
    first, second, other = (
        list(malformed.requests(len(malformed.KINDS), seed)) for seed in (0, 0, 1)
    )
    assert first == second
    assert first != other
    assert {odd.kind for odd in first} == set(malformed.KINDS)
