"""Scores of captions on tokens: BLEU, ROUGE-L and CIDEr-D, as the COCO caption tools count them.

Captions are sequences of tokens (words, or their numbers), split by the caller; each has one or
more references. The numbers are those of the COCO caption evaluation code on the same tokens,
smoothing constants included, without its Java tokenizer. ``…_per_caption`` gives one score per
caption, the shorter name the score of the corpus.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookcloser.core.errors import LookcloserError

Tokens = Sequence[Hashable]
References = Sequence[Sequence[Tokens]]
Ngram = tuple[Hashable, ...]
Floats = NDArray[np.float64]

ROUGE_BETA = 1.2
CIDER_LENGTH = 4
CIDER_SIGMA = 6.0


def bleu(candidates: Sequence[Tokens], references: References, n: int = 4) -> dict[str, float]:
    """BLEU-1 … BLEU-n of a corpus (Papineni et al., ACL 2002).

    Counts are pooled over all captions before the ratio is taken, so this is not the mean of
    `bleu_per_caption`. The reference length of a caption is the one closest to its own, of two
    equally close the shorter.

    Args:
        candidates: One caption per image.
        references: One or more captions per image.
        n: The longest n-gram.

    Returns:
        "BLEU-1" … "BLEU-n", in [0, 1].

    Raises:
        LookcloserError: For strings in place of token lists, numbers of images that differ, or an
            image without references.
    """
    counts = _bleu_counts(candidates, references, n)
    scores = _bleu(*(part.sum(axis=0) for part in counts))
    return {f"BLEU-{i}": float(score) for i, score in enumerate(scores, start=1)}


def bleu_per_caption(candidates: Sequence[Tokens], references: References, n: int = 4) -> Floats:
    """(N, n): BLEU-1 … BLEU-n of every caption by itself; arguments and errors as in `bleu`."""
    return _bleu(*_bleu_counts(candidates, references, n))


def rouge_l(candidates: Sequence[Tokens], references: References) -> float:
    """ROUGE-L (Lin, 2004): the mean of `rouge_l_per_caption`, in [0, 1]; errors as in `bleu`."""
    return float(rouge_l_per_caption(candidates, references).mean())


def rouge_l_per_caption(candidates: Sequence[Tokens], references: References) -> Floats:
    """(N,): F-measure with β = 1.2 of the longest common subsequence with a reference.

    Precision and recall are each the best over the references; they may come from different ones.
    Arguments and errors as in `bleu`.
    """
    _check(candidates, references)
    return np.array([_rouge_l(c, r) for c, r in zip(candidates, references, strict=True)])


@dataclass(frozen=True)
class DocumentFrequency:
    """In how many images' references an n-gram (n up to 4) occurs.

    Scores of different sets, and of single captions, compare only if they share one of these: count
    it once, on the training captions for example, and keep it.

    Attributes:
        images: The number of images counted.
        counts: n-gram -> images whose references contain it.
    """

    images: int
    counts: Mapping[Ngram, int]

    @classmethod
    def of(cls, references: References) -> DocumentFrequency:
        """Count ``references``, one or more captions per image."""
        counts: Counter[Ngram] = Counter()
        for captions in references:
            counts.update({gram for c in captions for gram in _ngrams(c, CIDER_LENGTH)})
        return cls(len(references), counts)

    def inverse(self, gram: Ngram) -> float:
        """log(images / count); an unseen n-gram counts as seen once."""
        return math.log(self.images) - math.log(max(1, self.counts.get(gram, 0)))

    def save(self, path: str | Path) -> Path:
        """Write as JSON; a file that is there is replaced at once or not at all."""
        path = Path(path)
        content = {"images": self.images, "counts": [[*item] for item in self.counts.items()]}
        partial = path.with_name(f"{path.name}.partial")
        partial.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        os.replace(partial, path)
        return path

    @classmethod
    def load(cls, path: str | Path) -> DocumentFrequency:
        """Read what `save` wrote."""
        content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        return cls(content["images"], {tuple(gram): count for gram, count in content["counts"]})


def cider_d(
    candidates: Sequence[Tokens],
    references: References,
    frequency: DocumentFrequency | None = None,
) -> float:
    """CIDEr-D (Vedantam et al., CVPR 2015): the mean of `cider_d_per_caption`."""
    return float(cider_d_per_caption(candidates, references, frequency).mean())


def cider_d_per_caption(
    candidates: Sequence[Tokens],
    references: References,
    frequency: DocumentFrequency | None = None,
) -> Floats:
    """(N,): ten times the clipped TF-IDF similarity with the references, in [0, 10].

    The mean over references and over n = 1 … 4 of the cosine of the TF-IDF vectors, weights clipped
    to the reference's, times a Gaussian (σ = 6) of the difference in length. Length is counted in
    bigrams, as the COCO tools do.

    Args:
        candidates: One caption per image.
        references: One or more captions per image.
        frequency: The document frequency to weight n-grams with; by default that of
            ``references``, which makes every score depend on the set and is 0 for a single image.

    Raises:
        LookcloserError: As `bleu`.
    """
    _check(candidates, references)
    frequency = frequency or DocumentFrequency.of(references)
    scores = []
    for candidate, captions in zip(candidates, references, strict=True):
        vector = _Vector.of(candidate, frequency)
        scores.append(10.0 * fmean(vector.similarity(_Vector.of(r, frequency)) for r in captions))
    return np.array(scores)


@dataclass(frozen=True)
class _Vector:
    """TF-IDF weights of a caption, with their norms, one entry per n-gram length."""

    weights: tuple[dict[Ngram, float], ...]
    norms: tuple[float, ...]
    bigrams: int

    @classmethod
    def of(cls, tokens: Tokens, frequency: DocumentFrequency) -> _Vector:
        weights: tuple[dict[Ngram, float], ...] = tuple({} for _ in range(CIDER_LENGTH))
        for gram, count in _ngrams(tokens, CIDER_LENGTH).items():
            weights[len(gram) - 1][gram] = count * frequency.inverse(gram)
        norms = tuple(math.hypot(*weight.values()) for weight in weights)
        return cls(weights, norms, max(len(tokens) - 1, 0))

    def similarity(self, reference: _Vector) -> float:
        cosines = []
        for own, norm, other, other_norm in zip(
            self.weights, self.norms, reference.weights, reference.norms, strict=True
        ):
            both = ((weight, other[gram]) for gram, weight in own.items() if gram in other)
            product = sum(min(weight, limit) * limit for weight, limit in both)
            cosines.append(product / (norm * other_norm) if norm and other_norm else 0.0)
        difference = self.bigrams - reference.bigrams
        return fmean(cosines) * math.exp(-(difference**2) / (2 * CIDER_SIGMA**2))


def _bleu_counts(
    candidates: Sequence[Tokens], references: References, n: int
) -> tuple[Floats, Floats, Floats, Floats]:
    """Clipped matches (N, n), n-grams (N, n), lengths (N,) and closest reference lengths (N,)."""
    _check(candidates, references)
    matches, lengths = np.zeros((len(candidates), n)), np.array([len(c) for c in candidates])
    closest = []
    for i, (candidate, captions) in enumerate(zip(candidates, references, strict=True)):
        most: Counter[Ngram] = Counter()
        for reference in captions:
            most |= _ngrams(reference, n)
        for gram, count in (_ngrams(candidate, n) & most).items():
            matches[i, len(gram) - 1] += count
        closest.append(min((abs(len(r) - len(candidate)), len(r)) for r in captions)[1])
    possible = np.maximum(lengths[:, None] - np.arange(n), 0)
    return matches, possible.astype(float), lengths.astype(float), np.array(closest, dtype=float)


def _bleu(matches: Floats, possible: Floats, length: ArrayLike, closest: ArrayLike) -> Floats:
    """BLEU-1 … BLEU-n in the last dimension, with the constants of the COCO tools against 0 / 0."""
    tiny, small = 1e-15, 1e-9
    n = matches.shape[-1]
    product = np.cumprod((matches + tiny) / (possible + small), axis=-1)
    ratio = (np.asarray(length) + tiny) / (np.asarray(closest) + small)
    brevity = np.exp(np.minimum(0.0, 1.0 - 1.0 / ratio))
    scores: Floats = product ** (1.0 / np.arange(1, n + 1)) * brevity[..., None]
    return scores


def _rouge_l(candidate: Tokens, references: Sequence[Tokens]) -> float:
    common = [_common_length(candidate, reference) for reference in references]
    if not any(common):
        return 0.0
    precision = max(common) / len(candidate)
    recall = max(length / max(len(r), 1) for length, r in zip(common, references, strict=True))
    return (1 + ROUGE_BETA**2) * precision * recall / (recall + ROUGE_BETA**2 * precision)


def _common_length(first: Tokens, second: Tokens) -> int:
    """Length of the longest common subsequence."""
    above = [0] * (len(second) + 1)
    for token in first:
        row = [0]
        for i, other in enumerate(second):
            row.append(above[i] + 1 if token == other else max(above[i + 1], row[i]))
        above = row
    return above[-1]


def _ngrams(tokens: Tokens, longest: int) -> Counter[Ngram]:
    """How often each n-gram occurs, n from 1 to ``longest``."""
    words = tuple(tokens)
    return Counter(
        words[i : i + n] for n in range(1, longest + 1) for i in range(len(words) - n + 1)
    )


def _check(candidates: Sequence[Tokens], references: References) -> None:
    if len(candidates) != len(references) or not len(candidates):
        raise LookcloserError(
            f"{len(candidates)} candidates and {len(references)} lists of references",
            allowed="One of each per image, at least one image",
        )
    for i, (candidate, captions) in enumerate(zip(candidates, references, strict=True)):
        if not len(captions):
            raise LookcloserError(f"image {i} has no reference", fix="Leave it out")
        for caption in (candidate, *captions):
            if isinstance(caption, str):
                raise LookcloserError(
                    f"image {i}: '{caption}' is a string",
                    allowed="Lists of tokens; several references are a list of such lists",
                    fix="Split captions into words first",
                )
