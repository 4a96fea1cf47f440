"""search.js finds the sequences, and gives them the scores, that Python's decoders do."""

from dataclasses import asdict

import numpy as np
import pytest

from lookcloser.decoding import Search

from .conftest import needs_node, node

PLACES, WORDS, START, END = 24, 7, 6, 5
SCRIPTS = ("answer.js", "search.js")

# A toy recurrent network: the state is a place, a token moves it, a place has its probabilities.
MODEL = """cases.map(async ({ search, place, table, draws }) => {
  const step = async (state, tokens) => {
    const after = tokens.map((token, row) => (5 * state[row] + 3 * token + 1) % table.length);
    const numbers = (row) => Float32Array.from(row, (value) => value ?? -Infinity);
    return { logProbs: after.map((at) => numbers(table[at])), state: after };
  };
  const pick = (state, rows) => rows.map((row) => state[row]);
  const { tokens, scores, marginals } = await decode(search, [place], step, pick, draws);
  return { tokens, scores, marginals: marginals && [...marginals] };
})"""


def tables(count=12):
    """Log-probabilities of each place: float32, some peaked, some tied, some tokens ruled out."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        logits = rng.normal(0, 1 + seed % 4, (PLACES, WORDS))
        if seed % 3 == 0:
            logits = logits.round()
        logits[:, START] = -np.inf
        if seed % 4 == 1:
            logits[rng.random(logits.shape) < 0.2] = -np.inf
            logits[:, END] = 0.0
        peak = logits.max(axis=1, keepdims=True)
        yield (logits - peak - np.log(np.exp(logits - peak).sum(axis=1, keepdims=True))).astype(
            np.float32
        )


def of_python(search, table, place):
    """The answer for one image, as the ONNX engine puts it together."""

    def step(state, tokens):
        after = (5 * state + 3 * tokens + 1) % PLACES
        return table[after], after

    state = np.array([place])
    (tokens,) = (list(path.tokens[: search.longest]) for path in search.run(step, state))
    if search.scored_paths is not None:
        marginals = search.marginals(step, state)[0]
        return tokens, marginals[tokens], marginals
    scores, last = [], START
    for token in tokens:
        log_probs, state = step(state, np.array([last]))
        scores.append(np.exp(log_probs[0, token]))
        last = token
    return tokens, scores, None


SEARCHES = {
    "greedy": Search("beam", START, END, 6),
    "beam": Search("beam", START, END, 6, beam=3),
    "wide beam": Search("beam", START, END, 3, beam=20, repeats=False),
    "exact": Search("exact", START, END, 5),
    "exact, without repeats": Search("exact", START, END, 5, repeats=False),
    "exact, on a budget": Search("exact", START, END, 5, node_budget=3),
    "no end": Search("exact", START, 99, 3),
    "marginals": Search("beam", START, END, 4, beam=4, repeats=False, scored_paths=20),
    "sample": Search("sample", START, END, 6, temperature=1.3, top_p=0.8),
    "sample of all": Search("sample", START, END, 6, repeats=False),
}


@needs_node
@pytest.mark.parametrize("name", SEARCHES)
def test_sequences_are_those_of_python(name):
    search = SEARCHES[name]
    draws = np.random.default_rng(0).random(search.longest + 1).tolist()
    given = list(tables())
    cases = [
        {
            "search": asdict(search),
            "place": place,
            "table": np.where(np.isfinite(table), table.astype(object), None).tolist(),
            "draws": draws,
        }
        for place, table in enumerate(given)
    ]
    answers = node(SCRIPTS, f"Promise.all({MODEL})", cases=cases)
    lengths = set()
    for place, (found, table) in enumerate(zip(answers, given, strict=True)):
        tokens, scores, marginals = of_python(search, table, place)
        assert found["tokens"] == tokens, place
        np.testing.assert_allclose(found["scores"], scores, rtol=1e-5)
        if marginals is not None:
            np.testing.assert_allclose(found["marginals"], marginals, rtol=1e-5, atol=1e-12)
        lengths.add(len(tokens))
    assert len(lengths) > 1 or name == "no end", "the tables ask for more than one length"
