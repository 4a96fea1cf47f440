"""Captions as tokens, and tokens as numbers."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache

from lookcloser.core.choices import TRAITS
from lookcloser.core.errors import LookcloserError
from lookcloser.data.catalog import Catalog

NULL, START, END, UNKNOWN = range(4)
SPECIALS = ("<NULL>", "<START>", "<END>", "<UNK>")

_APOSTROPHES = "\u2018\u2019\u02bc\u2032`\u00b4"
_HYPHENS = "\u2010\u2011"
_JOINERS = str.maketrans(dict.fromkeys(_APOSTROPHES, "'") | dict.fromkeys(_HYPHENS, "-"))
_LOOSE_POINT = re.compile(r"(?<!\d)[.,]|[.,](?!\d)")
_LOOSE_JOINER = re.compile(r"(?<![^\s'.,-])['-]|['-](?![^\s'.,-])")
# Written without spaces, and each sign is about a word or a syllable of its own.
_SINGLE = ("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH", "HIRAGANA", "KATAKANA")


def tokenize(text: str) -> list[str]:
    """Split a sentence into words, the same whatever the typing.

    - Unicode is normalized (NFKC: full-width letters, ligatures) and put into lower case.
    - A word is a run of letters, accents and digits. An apostrophe or a hyphen between two of them
      belongs to the word: ``dog's``, ``t-shirt``. Curly apostrophes become straight ones.
    - A point or a comma between two digits belongs to the number: ``3.5``, ``1,000``.
    - All other punctuation, symbols and emoji are dropped.
    - Chinese characters and Japanese kana, which are written without spaces, are words one by one.

    Joined with spaces, the words give the same words again.
    """
    # Lower case may undo the normal form; normalizing makes and unmakes apostrophes.
    folded = unicodedata.normalize("NFKC", text.translate(_JOINERS)).lower()
    typed = unicodedata.normalize("NFKC", folded).translate(_JOINERS)
    spaced = "".join(map(_spaced, typed))
    return _LOOSE_JOINER.sub(" ", _LOOSE_POINT.sub(" ", spaced)).split()


@cache
def _spaced(character: str) -> str:
    """The character itself, set apart where it is a word alone, or a space where it is none."""
    if character in "'-.,":
        return character
    category, name = unicodedata.category(character), unicodedata.name(character, "")
    if category == "Me" or name.startswith("VARIATION SELECTOR"):
        return ""  # how a digit or a sign becomes an emoji
    if category[0] not in "LNM":
        return " "
    return f" {character} " if name.startswith(_SINGLE) else character


class Vocabulary:
    """The words a captioner knows, by index.

    The first four are `SPECIALS`: padding, start and end of a sentence, and any other word. No
    token is spelled like them.

    Args:
        names: All words by index, the specials among them, as a saved model holds them.

    Raises:
        LookcloserError: If the specials do not come first.
    """

    def __init__(self, names: Sequence[str]) -> None:
        if tuple(names[: len(SPECIALS)]) != SPECIALS:
            raise LookcloserError(
                f"{', '.join(names[:4])}: not the beginning of a vocabulary",
                allowed=f"The first words are {', '.join(SPECIALS)}.",
            )
        self.names = tuple(names)
        self._index = {name: index for index, name in enumerate(self.names)}

    @classmethod
    def of(
        cls, captions: Iterable[str], min_count: int = 1, max_words: int | None = None
    ) -> Vocabulary:
        """The words of ``captions``, the most frequent first, equally frequent ones by alphabet.

        Args:
            captions: Sentences, of the training images only.
            min_count: Words that occur fewer times are left out.
            max_words: At most this many words, beside the specials.
        """
        counts = Counter(word for caption in captions for word in tokenize(caption))
        kept = sorted(word for word, count in counts.items() if count >= min_count)
        kept.sort(key=lambda word: -counts[word])
        return cls((*SPECIALS, *kept[:max_words]))

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, caption: str) -> list[int]:
        """The indices of the words, without START and END; unknown words become UNKNOWN."""
        return [self._index.get(word, UNKNOWN) for word in tokenize(caption)]

    def decode(self, tokens: Iterable[int]) -> list[str]:
        """The words of indices; those below 0, NULL, START and END are left out."""
        return [self.names[token] for token in tokens if token > END]


def with_vocabulary(catalog: Catalog, min_count: int = 1, max_words: int | None = None) -> Catalog:
    """A captioning ``catalog`` with the `Vocabulary` of its training captions as names.

    One that has names, or is for another task, comes back as it is.

    Raises:
        LookcloserError: If no word of the training captions is left.
    """
    if TRAITS[catalog.task].labels != "words" or catalog.names:
        return catalog
    captions = [caption for sample in catalog.split("train") for caption in sample.captions]
    vocabulary = Vocabulary.of(captions, min_count, max_words)
    if len(vocabulary) == len(SPECIALS):
        raise LookcloserError(
            f"{catalog.root}: no word is left of {len(captions)} training captions "
            f"with --min-count {min_count}",
            fix="Lower it",
        )
    return replace(catalog, names=vocabulary.names)


def longest_caption(catalog: Catalog) -> int:
    """The number of words of the longest training caption."""
    return max(
        len(tokenize(caption)) for sample in catalog.split("train") for caption in sample.captions
    )
