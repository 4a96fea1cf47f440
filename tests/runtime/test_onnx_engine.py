"""The decoder of a file: its answers are those of the search, and another's graphs do no harm."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lookcloser.core.errors import LookcloserError
from lookcloser.decoding import Search, label_marginals

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from lookcloser.runtime.onnx import load
from lookcloser.runtime.onnx_engine import OnnxEngine

from .decoders import BRIGHT, DARK, END, LONGEST, START, TAGS, TEXTS, WORDS, write_decoder

PIXELS = np.stack([np.full((3, 8, 8), value, np.uint8) for value in (240, 10, 200)])
SEARCHES = {
    "greedy": Search("beam", START, END, LONGEST),
    "beam": Search("beam", START, END, LONGEST, beam=3, repeats=False),
    "exact": Search("exact", START, END, LONGEST, repeats=False),
    "cold samples": Search("sample", START, END, LONGEST, temperature=1e-3),
}
Opens = Callable[..., OnnxEngine]


@pytest.fixture
def opened(tmp_path: Path) -> Opens:
    """The engine of a decoder; arguments are those of `write_decoder`."""

    def opens(search: Search, *given: object, **changed: object) -> OnnxEngine:
        path = write_decoder(tmp_path / "tags.onnx", search, *given, **changed)  # type: ignore[arg-type]  # as they are given
        return load(path, threads=1).engine

    return opens


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_sequences_end_where_the_search_ends_them_and_are_padded(
    opened: Opens, search: Search
) -> None:
    answer = opened(search).answer(PIXELS, 1)
    assert answer.tokens is not None
    assert answer.tokens.tolist() == [[1, 2], [0, -1], [1, 2]]
    np.testing.assert_allclose(answer.token_scores, [[0.7, 0.6], [0.8, 0], [0.7, 0.6]], rtol=1e-5)
    proofs = [True] * 3 if search.decoder == "exact" else None
    assert (None if answer.certified is None else answer.certified.tolist()) == proofs


def test_an_image_is_answered_as_in_a_batch(opened: Opens) -> None:
    engine = opened(SEARCHES["beam"])
    together = engine.answer(PIXELS, 1)
    for row in range(len(PIXELS)):
        alone = engine.answer(PIXELS[row : row + 1], 1)
        assert alone.tokens is not None
        width = alone.tokens.shape[1]
        for name in ("logits", "tokens", "token_scores", "maps"):
            found, wanted = getattr(alone, name)[0], getattr(together, name)[row]
            np.testing.assert_array_equal(found, wanted if name == "logits" else wanted[:width])
    dark = engine.answer(PIXELS[1:2], 1)
    assert dark.tokens is not None
    assert dark.tokens.tolist() == [[0]], "no wider than its own longest answer"


def test_maps_are_of_the_tokens_in_their_order(opened: Opens) -> None:
    answer = opened(SEARCHES["beam"]).answer(PIXELS, 1)
    assert answer.maps is not None
    assert answer.maps.shape == (3, 2, 2, 2)
    # By the graph: brightness times the token's number from 1, so that padding has 0.
    assert answer.maps[:, :, 1, 0].tolist() == [[480, 720], [10, 0], [400, 600]]


def test_scores_of_tags_are_summed_over_paths_where_the_file_says_so(opened: Opens) -> None:
    summed = Search("exact", START, END, LONGEST, repeats=False, scored_paths=50)
    answer = opened(summed).answer(PIXELS, 1)

    def step(state: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tables = np.where(state[:, :1] > 127, BRIGHT[tokens], DARK[tokens])
        return np.log(tables), state

    state = PIXELS[:, :, 0, 0].astype(np.float32)
    limits = {"start": START, "end": END, "max_length": LONGEST + 1}
    wanted = label_marginals(step, state, node_budget=50, **limits)[:, :3]
    assert answer.token_scores is not None
    np.testing.assert_allclose(1 / (1 + np.exp(-answer.logits)), wanted, rtol=1e-4)
    np.testing.assert_allclose(answer.token_scores[0], wanted[0, [1, 2]], rtol=1e-5)
    assert answer.token_scores[1, 1] == 0, "of padding"


def test_a_captioner_speaks_and_a_tagger_names(tmp_path: Path) -> None:
    image = np.full((20, 30, 3), 240, np.uint8)
    search = Search("beam", START, END, LONGEST)
    writer = load(write_decoder(tmp_path / "words.onnx", search, WORDS), threads=1)
    (said,) = writer.predict(image)
    assert (said.caption, said.labels) == ("dog owl", ())
    assert [region.kind for region in said.regions] == ["word", "word"]
    assert repr(writer) == f"OnnxRecognizer(lstm, 3 words, {tmp_path / 'words.onnx'})"
    (named,) = load(write_decoder(tmp_path / "tags.onnx", search, TAGS), threads=1).predict(image)
    assert named.caption is None
    assert {label.name for label in named.labels} == {"dog", "owl"}
    assert [region.label for region in named.regions] == ["dog", "owl"], "as they were decoded"


def test_evidence_of_given_tags_has_their_scores_and_no_maps_of_a_sequence(opened: Opens) -> None:
    engine = opened(SEARCHES["beam"])
    found = engine.evidence(PIXELS[:2], np.array([[2, -1], [0, 1]]))
    assert found.maps is None
    assert found.tokens is not None
    assert found.tokens.tolist() == [[2, -1], [0, 1]]
    np.testing.assert_allclose(found.token_scores, [[1 / 3, 0], [1 / 3, 1 / 3]], rtol=1e-5)


def test_a_fingerprint_tells_files_apart_and_not_their_places(tmp_path: Path) -> None:
    names = ("a.onnx", "b.onnx", "c.onnx")
    longer = Search("beam", START, END, LONGEST + 1)
    searches = (SEARCHES["greedy"], SEARCHES["greedy"], longer)
    same, again, other = (
        load(write_decoder(tmp_path / name, search), threads=1).engine.fingerprint()
        for name, search in zip(names, searches, strict=True)
    )
    assert same == again != other
    assert len(same) == 16


def test_another_rule_for_boxes_is_for_this_recognizer_alone(tmp_path: Path) -> None:
    path = write_decoder(tmp_path / "tags.onnx", SEARCHES["greedy"])
    assert load(path, threads=1, box_rule="max").header.box_rule == "max"
    assert load(path, threads=1).header.box_rule == "range"
    with pytest.raises(LookcloserError, match=r"high: unknown box rule\. There are: max, range"):
        load(path, threads=1, box_rule="high")


def changed(name: str, *pairs: tuple[str, str]) -> dict[str, str]:
    text = TEXTS[name]
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return {name: text}


LAST = "log_probs = Where(is_bright, of_bright, of_dark)"
TABLE = LAST.replace("log_probs", "table")
MAPS, MADE = "float[batch,places,2,2] maps", "maps = Mul(weights, red)"
WRONG = {
    "probabilities": changed("step", (LAST, f"{TABLE}\n log_probs = Exp(table)")),
    "no numbers": changed("step", (LAST, f"{TABLE}\n log_probs = Sqrt(table)")),
    "one token": changed(
        "step",
        ("float[rows,4]", "float[rows,1]"),
        (LAST, f"{TABLE}\n log_probs = Gather <axis = 1> (table, first)"),
    ),
    "one row": changed(
        "step",
        ("float[rows,4]", "float[1,4]"),
        (LAST, f"{TABLE}\n log_probs = Gather <axis = 0> (table, first)"),
    ),
    "one axis": changed(
        "step",
        ("float[rows,4]", "float[rows]"),
        (LAST, f"{TABLE}\n log_probs = ReduceMax <keepdims = 0> (table, first)"),
    ),
    "whole numbers": changed(
        "step",
        ("float[rows,4]", "int64[rows,4]"),
        (LAST, f"{TABLE}\n log_probs = Cast <to = 7> (table)"),
    ),
    "a state of one row": changed(
        "step",
        ("float[rows,3] next", "float[1,3] next"),
        ("Identity(state_0)", "Gather <axis = 0> (state_0, first)"),
    ),
    "no state after a step": changed(
        "step", (", float[rows,3] next_state_0", ""), ("next_state_0 = Identity(state_0)", "")
    ),
    "a state that no step takes": changed(
        "start",
        ("float[batch,3] state_0", "float[batch,3] state_0, float[batch,3] more"),
        ("state_0 = Flatten(pooled)", "state_0 = Flatten(pooled)\n more = Flatten(pooled)"),
    ),
    "a start without rows": changed(
        "start",
        ("float[batch,3] state_0", "float state_0"),
        ("state_0 = Flatten(pooled)", "state_0 = ReduceMax <keepdims = 0> (pooled)"),
    ),
    "maps of one image": changed(
        "evidence",
        (MAPS, "float[1,places,2,2] maps"),
        (MADE, "every = Mul(weights, red)\n maps = Gather <axis = 0> (every, first)"),
    ),
    "maps of one place": changed(
        "evidence",
        (MAPS, "float[batch,1,2,2] maps"),
        (MADE, "every = Mul(weights, red)\n maps = Gather <axis = 1> (every, first)"),
    ),
    "maps of a row": changed(
        "evidence",
        (MAPS, "float[batch,places,2] maps"),
        (MADE, "every = Mul(weights, red)\n maps = ReduceMax <keepdims = 0> (every, last)"),
        ("int64[1] first = {0}", "int64[1] first = {0}, int64[1] last = {3}"),
    ),
    "maps of nothing": changed(
        "evidence",
        (MAPS, "float[batch,places,0,2] maps"),
        (MADE, "every = Mul(weights, red)\n maps = Gather <axis = 2> (every, none)"),
        ("int64[1] first = {0}", "int64[1] first = {0}, int64[0] none = {}"),
    ),
    "maps of whole numbers": changed(
        "evidence",
        (MAPS, "int64[batch,places,2,2] maps"),
        (MADE, "every = Mul(weights, red)\n maps = Cast <to = 7> (every)"),
    ),
}


@pytest.mark.parametrize("search", ["beam", "exact", "cold samples"])
@pytest.mark.parametrize("texts", WRONG.values(), ids=WRONG)
def test_graphs_that_put_out_something_else_are_refused(
    opened: Opens, texts: dict[str, str], search: str
) -> None:
    with pytest.raises(LookcloserError, match=r"tags\.onnx.*original file") as raised:
        opened(SEARCHES[search], **texts).answer(PIXELS, 1)
    assert "\n" not in str(raised.value)


def test_a_memory_that_leaves_no_state_is_refused(opened: Opens) -> None:
    for memory in (1, 2):
        with pytest.raises(LookcloserError, match=r"tags\.onnx"):
            opened(SEARCHES["beam"], memory=memory).answer(PIXELS, 1)


def test_a_sequence_may_be_longer_than_the_graph_of_its_maps_was_made_for(opened: Opens) -> None:
    short, fitting = (opened(SEARCHES["beam"], longest=longest) for longest in (1, LONGEST))
    np.testing.assert_array_equal(short.answer(PIXELS, 1).maps, fitting.answer(PIXELS, 1).maps)


def test_a_tag_behind_the_names_is_refused(opened: Opens) -> None:
    end = Search("beam", START, 0, LONGEST)  # so that token 3, which is END, becomes a tag
    with pytest.raises(LookcloserError, match="outputs of its network are not an answer"):
        opened(end).answer(PIXELS[:1], 1)


def test_without_onnx_runtime_its_name_and_the_command_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_decoder(tmp_path / "tags.onnx", SEARCHES["beam"])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(LookcloserError, match=r"tags\.onnx: needs ONNX Runtime.*pip install"):
        load(path)
