"""A process that answers parts: one line in, a few lines out, and nothing else on its output."""

import io
import subprocess
import sys

import pytest

from lookcloser.batch.folder import Folder
from lookcloser.batch.sources import Item, Part, parts
from lookcloser.batch.worker import read_words, serve


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('["images", 3]\n', ["images", 3]),
        ('["done", 1, 2', None),
        ("[]", None),
        ('{"images": 3}', None),
        ("5", None),
        ("", None),
        ("warning: something else\n", None),
    ],
)
def test_only_whole_words_are_heard(line, words):
    assert read_words(line) == words


def test_parts_are_answered_one_after_the_other_by_one_network(photos, job, monkeypatch):
    one = job(batch_size=20)
    Folder(one.out, one.writer).begin({})
    loaded, real = [], type(one).answerer

    def answerer(own):
        loaded.append(own)
        return real(own)

    monkeypatch.setattr(type(one), "answerer", answerer)
    first, second, *_ = parts([str(photos)], 20)
    told = io.StringIO()
    serve(io.StringIO(f"{one.to_json()}\n{first.to_json()}\n{second.to_json()}\n"), told)
    words = [read_words(line) for line in told.getvalue().splitlines()]
    assert words == [
        ["images", 0], ["images", 20], ["done", 0, 20, 0],
        ["images", 0], ["images", 20], ["done", 1, 20, 0],
    ]  # fmt: skip
    assert loaded == [one]


def test_what_one_part_cannot_be_is_said_and_the_next_is_answered(photos, job):
    one = job()  # whose folder was not begun
    part = Part(3, (Item(0, photos / "0" / "0000.png"),))
    told = io.StringIO()

    class Given(list):
        def readline(self):
            return self.pop(0)

        def __iter__(self):
            yield self[0]
            Folder(one.out, one.writer).begin({})
            yield self[0]

    serve(Given([one.to_json(), part.to_json()]), told)
    words = [read_words(line) for line in told.getvalue().splitlines()]
    assert [kind for kind, *_ in words] == ["images", "failed", "images", "images", "done"]
    assert "could not be written" in words[1][1]
    assert words[-1] == ["done", 3, 1, 0]


PROGRAM = """
import os, sys
from lookcloser.batch import worker

def serve(given, told):
    os.write(1, b"a library prints\\n")
    print("another, too", flush=True)
    told.write(f"heard {given.read()}")
    told.flush()
    if "nobody" in sys.argv:
        raise BrokenPipeError

worker.serve = serve
worker.main()
"""


def test_what_libraries_print_is_no_news():
    words = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(words, input="it", capture_output=True, text=True, check=True)
    assert done.stdout == "heard it"
    assert done.stderr == "a library prints\nanother, too\n"
    gone = subprocess.run([*words, "nobody"], input="", capture_output=True, text=True, check=False)
    assert gone.returncode == 1
    assert "Traceback" not in gone.stderr
