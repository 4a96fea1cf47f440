"""Caption scores against the COCO tools, their golden numbers and slow references."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

from lookcloser.core import LookcloserError
from lookcloser.metrics.captions import (
    DocumentFrequency,
    bleu,
    bleu_per_caption,
    cider_d,
    cider_d_per_caption,
    rouge_l,
    rouge_l_per_caption,
)

CANDIDATES = [
    "a small red three left of a large blue seven",
    "two green digits",  # shorter than the longest n-gram
    "the cat sat on the mat the cat",  # repeats: counts are clipped
    "a dog",  # shorter than both references
    "",
]
REFERENCES = [
    ["a small red three is left of a big blue seven", "a red three beside a large blue seven"],
    ["two green digits on a gray ground", "a green four and a green nine", "green digits"],
    ["the cat sat on the mat", "a cat is on a mat"],
    ["a brown dog runs over the grass", "the dog runs"],
    ["a bird"],
]


def split(captions):
    return [caption.split() for caption in captions]


C, R = split(CANDIDATES), [split(captions) for captions in REFERENCES]

# pycocoevalcap 1.2 on the strings above: Bleu(4) "closest", Rouge, CiderScorer.
GOLDEN_BLEU = [0.874196553378, 0.812890764804, 0.749946444431, 0.640470727409]
GOLDEN_BLEU_PER_CAPTION = [
    [0.9048374179, 0.8530888987, 0.7438403217, 0.5711305802],
    [0.9999999997, 0.9999999996, 0.9999999994, 0.03162277659],
    [0.7499999999, 0.7319250546, 0.7094917059, 0.6803749332],
    [0.6065306591, 1.918018353e-08, 6.065306591e-08, 1.078580983e-07],
    [0.0, 0.0, 0.0, 0.0],
]
GOLDEN_ROUGE = [0.8850760018, 1.0, 0.8798076923, 0.4586466165, 0.0]
GOLDEN_CIDER = [4.428172238, 2.751670583, 4.154366435, 1.191441651, 0.0]


def test_golden_numbers_of_the_coco_tools():
    assert list(bleu(C, R).values()) == pytest.approx(GOLDEN_BLEU, abs=1e-9)
    assert list(bleu(C, R)) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4"]
    np.testing.assert_allclose(bleu_per_caption(C, R), GOLDEN_BLEU_PER_CAPTION, atol=1e-9)
    np.testing.assert_allclose(rouge_l_per_caption(C, R), GOLDEN_ROUGE, atol=1e-9)
    np.testing.assert_allclose(cider_d_per_caption(C, R), GOLDEN_CIDER, atol=1e-8)
    assert rouge_l(C, R) == pytest.approx(sum(GOLDEN_ROUGE) / 5, abs=1e-9)
    assert cider_d(C, R) == pytest.approx(2.5051301813706366, abs=1e-9)


def corpus(seed, images=40):
    """Random captions over few words, so that n-grams repeat; some are empty, some copies."""
    rng = random.Random(seed)
    words = ["a", "the", "red", "dog", "on", "mat", "two", "cats"][: 3 + seed % 6]

    def caption(low):
        return [rng.choice(words) for _ in range(rng.randint(low, 14))]

    references = [[caption(1) for _ in range(rng.randint(1, 5))] for _ in range(images)]
    candidates = [rng.choice([rng.choice(r), caption(0), caption(0)]) for r in references]
    return candidates, references


SEEDS = range(12)


@pytest.mark.parametrize("seed", SEEDS)
def test_equals_pycocoevalcap(seed):
    reason = "pycocoevalcap is not installed; golden numbers and slow references stand in for it"
    scorer = pytest.importorskip("pycocoevalcap.bleu.bleu_scorer", reason=reason).BleuScorer(n=4)
    rouge = pytest.importorskip("pycocoevalcap.rouge.rouge", reason=reason).Rouge()
    cider = pytest.importorskip("pycocoevalcap.cider.cider_scorer", reason=reason).CiderScorer()
    candidates, references = corpus(seed)
    texts = [" ".join(c) for c in candidates]
    truths = [[" ".join(r) for r in captions] for captions in references]
    for text, truth in zip(texts, truths, strict=True):
        scorer += (text, truth)
        cider += (text, truth)
    total, each = scorer.compute_score(option="closest")
    assert list(bleu(candidates, references).values()) == pytest.approx(total, abs=1e-6)
    np.testing.assert_allclose(bleu_per_caption(candidates, references).T, each, atol=1e-6)
    mean, each = rouge.compute_score(
        dict(enumerate(truths)), {i: [text] for i, text in enumerate(texts)}
    )
    assert rouge_l(candidates, references) == pytest.approx(mean, abs=1e-6)
    np.testing.assert_allclose(rouge_l_per_caption(candidates, references), each, atol=1e-6)
    mean, each = cider.compute_score()
    assert cider_d(candidates, references) == pytest.approx(mean, abs=1e-6)
    np.testing.assert_allclose(cider_d_per_caption(candidates, references), each, atol=1e-6)


def grams(caption, n):
    return [tuple(caption[i : i + n]) for i in range(len(caption) - n + 1)]


def slow_bleu(candidates, references, n):
    """BLEU-n from the paper: clipped precisions, their geometric mean, brevity penalty."""
    product, length, target = 1.0, 0, 0
    for size in range(1, n + 1):
        clipped = possible = 0
        for candidate, captions in zip(candidates, references, strict=True):
            for gram in set(grams(candidate, size)):
                allowed = max(grams(r, size).count(gram) for r in captions)
                clipped += min(grams(candidate, size).count(gram), allowed)
            possible += len(grams(candidate, size))
        product *= clipped / possible if possible else 0.0
    for candidate, captions in zip(candidates, references, strict=True):
        length += len(candidate)
        target += sorted((abs(len(r) - len(candidate)), len(r)) for r in captions)[0][1]
    brevity = 1.0 if length >= target else math.exp(1 - target / length)
    return product ** (1 / n) * brevity


def slow_rouge(candidate, captions):
    """The longest common subsequence by trying every subsequence, longest first."""
    best = []
    for reference in captions:
        for size in range(min(len(candidate), len(reference)), -1, -1):
            ours = set(itertools.combinations(candidate, size))
            if ours & set(itertools.combinations(reference, size)):
                best.append((size, len(reference)))
                break
    precision = max(size / max(len(candidate), 1) for size, _ in best)
    recall = max(size / length for size, length in best)
    if precision == 0 or recall == 0:
        return 0.0
    return (1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision)


def slow_cider(candidate, captions, corpus_references):
    """CIDEr-D as its formula is written, over the union of the n-grams of a pair."""
    images = len(corpus_references)
    total = 0.0
    for n, reference in itertools.product((1, 2, 3, 4), captions):

        def weight(caption, gram, n=n):
            seen = sum(any(gram in grams(r, n) for r in refs) for refs in corpus_references)
            return grams(caption, n).count(gram) * math.log(images / max(1, seen))

        union = set(grams(candidate, n)) | set(grams(reference, n))
        ours = {gram: weight(candidate, gram) for gram in union}
        theirs = {gram: weight(reference, gram) for gram in union}
        norms = math.sqrt(sum(w * w for w in ours.values())) * math.sqrt(
            sum(w * w for w in theirs.values())
        )
        if norms:
            clipped = sum(min(ours[gram], theirs[gram]) * theirs[gram] for gram in union)
            gap = len(grams(candidate, 2)) - len(grams(reference, 2))
            total += clipped / norms * math.exp(-(gap**2) / (2 * 6.0**2))
    return 10 * total / 4 / len(captions)


@pytest.mark.parametrize("seed", SEEDS)
def test_equals_the_formulas_written_out(seed):
    candidates, references = corpus(seed, images=12)
    for n in (1, 2, 3, 4):
        expected = slow_bleu(candidates, references, n)
        assert bleu(candidates, references, n)[f"BLEU-{n}"] == pytest.approx(expected, abs=1e-6)
    short = [
        (c[:9], [r[:9] for r in captions])
        for c, captions in zip(candidates, references, strict=True)
    ]
    found = rouge_l_per_caption([c for c, _ in short], [captions for _, captions in short])
    np.testing.assert_allclose(found, [slow_rouge(*pair) for pair in short], atol=1e-12)
    expected = [
        slow_cider(c, captions, references)
        for c, captions in zip(candidates, references, strict=True)
    ]
    np.testing.assert_allclose(cider_d_per_caption(candidates, references), expected, atol=1e-9)


def test_a_copy_of_a_reference_is_perfect():
    captions = [captions[0] for captions in R]
    assert list(bleu(captions, R).values()) == pytest.approx([1.0] * 4)
    assert rouge_l(captions, R) == pytest.approx(1.0)
    alone = [[caption] for caption in captions]
    long_enough = [len(caption) >= 4 for caption in captions]
    scores = cider_d_per_caption(captions, alone)
    assert scores[long_enough] == pytest.approx([10.0] * sum(long_enough))


def test_of_two_equally_close_references_the_shorter_sets_the_brevity_penalty():
    candidate, long, short = ["a"] * 4, ["a"] * 6, ["a"] * 2
    assert bleu([candidate], [[long, short]], 1)["BLEU-1"] == pytest.approx(1.0)
    assert bleu([candidate], [[long]], 1)["BLEU-1"] == pytest.approx(math.exp(1 - 6 / 4))


def test_corpus_bleu_pools_counts_and_is_not_the_mean_of_captions():
    pooled = bleu(C, R)["BLEU-2"]
    assert abs(pooled - bleu_per_caption(C, R)[:, 1].mean()) > 0.05


def test_rouge_takes_precision_and_recall_from_different_references():
    candidate, references = list("abcd"), [list("abcdefgh"), ["a"]]
    # Precision 4 / 4 from the first, recall 1 / 1 from the second.
    assert rouge_l([candidate], [references]) == pytest.approx(1.0)


def test_numbers_may_stand_for_words():
    ids = {
        word: i
        for i, word in enumerate(
            sorted({w for r in R for c in r for w in c} | {w for c in C for w in c})
        )
    }
    as_ids = [[ids[w] for w in c] for c in C]
    references = [[[ids[w] for w in r] for r in captions] for captions in R]
    assert bleu(as_ids, references) == bleu(C, R)
    assert cider_d(as_ids, references) == pytest.approx(cider_d(C, R), abs=1e-12)


def test_document_frequency_counts_images_not_captions():
    frequency = DocumentFrequency.of([split(["a a cat", "a dog"]), split(["a cat"])])
    assert frequency.images == 2
    assert frequency.counts[("a",)] == 2
    assert frequency.counts[("cat",)] == 2
    assert frequency.counts[("dog",)] == 1
    assert frequency.counts[("a", "cat")] == 2
    assert ("dog", "a") not in frequency.counts
    assert frequency.inverse(("cat",)) == 0.0
    assert frequency.inverse(("dog",)) == frequency.inverse(("unseen",)) == math.log(2)


def test_with_a_stored_frequency_a_caption_scores_the_same_in_any_set(tmp_path):
    candidates, references = corpus(3)
    frequency = DocumentFrequency.of(references)
    path = frequency.save(tmp_path / "frequency.json")
    loaded = DocumentFrequency.load(path)
    assert loaded == frequency
    assert [file.name for file in tmp_path.iterdir()] == ["frequency.json"]
    whole = cider_d_per_caption(candidates, references)
    assert whole.max() > 1
    for i in range(10):
        alone = cider_d_per_caption(candidates[i : i + 1], references[i : i + 1], loaded)
        assert alone == pytest.approx(whole[i : i + 1], abs=1e-12)
    # Without it a single image says nothing: every n-gram occurs in all of the one image.
    assert cider_d(candidates[:1], references[:1]) == 0.0


@pytest.mark.parametrize("score", [bleu, rouge_l, cider_d])
def test_what_cannot_be_scored_is_refused(score):
    with pytest.raises(LookcloserError, match=r"'a dog' is a string.*Split"):
        score(["a dog"], [[["a", "dog"]]])
    with pytest.raises(LookcloserError, match=r"'a' is a string.*list of such lists"):
        score([["a", "dog"]], [["a", "dog"]])
    with pytest.raises(LookcloserError, match="Image 1 has no reference"):
        score([["a"], ["b"]], [[["a"]], []])
    with pytest.raises(LookcloserError, match="1 candidates and 2 lists"):
        score([["a"]], [[["a"]], [["b"]]])
    with pytest.raises(LookcloserError, match="at least one image"):
        score([], [])
