import itertools
import re
import string
import sys
import unicodedata
from pathlib import Path

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data import Catalog, Sample
from lookcloser.data.vocabulary import (
    END,
    NULL,
    SPECIALS,
    START,
    UNKNOWN,
    Vocabulary,
    longest_caption,
    tokenize,
    with_vocabulary,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A small red seven.", "a small red seven"),
        ("  Two  dogs,\trunning -- fast!\n", "two dogs running fast"),
        ("The dog's don't-touch T-shirt", "the dog's don't-touch t-shirt"),
        ("dog\u2019s dog\u02bcs dog`s", "dog's dog's dog's"),
        ("'quoted' \u201cwords\u201d (here)", "quoted words here"),
        ("- a -b c- d'", "a b c d"),
        ("3.5 metres, 1,000 people. 7", "3.5 metres 1,000 people 7"),
        ("v2.x end.5 5. ,6", "v2 x end 5 5 6"),
        ("snake_case a/b a&b", "snake case a b a b"),
        ("\uff26\uff35\uff2c\uff2c \ufb01re \u2460", "full fire 1"),
        ("Stra\u00dfe \u00c9t\u00e9 E\u0301t\u00e9", "stra\u00dfe \u00e9t\u00e9 \u00e9t\u00e9"),
        ("\u0939\u093f\u0928\u094d\u0926\u0940!", "\u0939\u093f\u0928\u094d\u0926\u0940"),
        ("(\u0634\u064e\u0645\u0633)", "\u0634\u064e\u0645\u0633"),
        ("\u7ea2\u8272\u76847 \u30ab\u30e1", "\u7ea2 \u8272 \u7684 7 \u30ab \u30e1"),
        ("I \u2764\ufe0f 1\ufe0f\u20e3 \U0001f44d\U0001f3fd cats", "i 1 cats"),
        ("<NULL> <START>", "null start"),
        ("...", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_words_of_a_sentence(text: str, words: str) -> None:
    assert tokenize(text) == words.split()


def test_plain_english_is_split_as_one_would_by_hand() -> None:
    text = "Man cross country skiing, with a yellow lab; it's 2 o'clock! Is it? (No.)"
    expected = re.findall(r"[a-z0-9]+(?:'[a-z0-9]+)?", text.lower())
    assert tokenize(text) == expected


def test_every_character_is_kept_or_dropped_for_good() -> None:
    """Tokens joined by spaces give the same tokens, whatever character is in them."""
    for code in itertools.chain(range(0x3400), range(0xF900, 0x1F000, 7)):
        character = chr(code)
        words = tokenize(f"a{character}b {character} {character}1.5")
        assert tokenize(" ".join(words)) == words, hex(code)
        assert not any(word.isspace() or not word for word in words)
        if unicodedata.category(character)[0] in "PSZC" and character not in "'-.,":
            left = set("".join(words)) - set(string.ascii_lowercase + string.digits + "'-.,/")
            assert not any(unicodedata.category(c)[0] in "PSZC" for c in left), hex(code)
    assert sys.maxunicode > 0xFFFF


CAPTIONS = ["A dog and a cat.", "a dog", "The cat!", "zebra"]


class TestVocabulary:
    def test_frequent_words_first_equal_ones_by_alphabet(self) -> None:
        vocabulary = Vocabulary.of(CAPTIONS)
        assert vocabulary.names == (*SPECIALS, "a", "cat", "dog", "and", "the", "zebra")
        assert SPECIALS == ("<NULL>", "<START>", "<END>", "<UNK>")
        assert (NULL, START, END, UNKNOWN) == (0, 1, 2, 3)
        assert Vocabulary.of(reversed(CAPTIONS)).names == vocabulary.names

    def test_rare_words_and_a_limit(self) -> None:
        assert Vocabulary.of(CAPTIONS, min_count=2).names == (*SPECIALS, "a", "cat", "dog")
        assert Vocabulary.of(CAPTIONS, max_words=2).names == (*SPECIALS, "a", "cat")
        assert len(Vocabulary.of(CAPTIONS, max_words=2)) == 6

    def test_there_and_back(self) -> None:
        vocabulary = Vocabulary.of(CAPTIONS)
        assert vocabulary.encode("The Dog.") == [8, 6]
        assert vocabulary.encode("a unicorn") == [4, UNKNOWN]
        assert vocabulary.decode([START, 8, 6, END, NULL, -1]) == ["the", "dog"]
        assert vocabulary.decode([UNKNOWN]) == ["<UNK>"]
        for caption in CAPTIONS:
            assert vocabulary.decode(vocabulary.encode(caption)) == tokenize(caption)
            assert Vocabulary(vocabulary.names).encode(caption) == vocabulary.encode(caption)

    def test_no_caption_can_spell_a_special(self) -> None:
        vocabulary = Vocabulary.of(["<START> <END> <UNK> <NULL>"])
        assert vocabulary.names[4:] == ("end", "null", "start", "unk")

    def test_names_that_are_no_vocabulary(self) -> None:
        with pytest.raises(LookcloserError, match="cat, dog: not the beginning of a vocabulary"):
            Vocabulary(("cat", "dog"))


def data(*captions: tuple[str, ...], task: str = "captioning", splits: str = "train") -> Catalog:
    samples = tuple(
        Sample(str(i), Path(str(i)), captions=c, split=s)
        for i, (c, s) in enumerate(zip(captions, splits.split() * len(captions), strict=False))
    )
    return Catalog(Path("set"), "", task, (), samples)  # type: ignore[arg-type]  # a test's string


class TestCatalog:
    def test_names_come_from_the_training_captions_alone(self) -> None:
        catalog = data(("a dog", "the dog"), ("a zebra crossing here",), splits="train val")
        named = with_vocabulary(catalog)
        assert named.names == (*SPECIALS, "dog", "a", "the")
        assert longest_caption(named) == 2
        assert with_vocabulary(named, min_count=9) is named, "what has names keeps them"
        assert with_vocabulary(catalog, min_count=2).names == (*SPECIALS, "dog")

    def test_other_tasks_stay_as_they_are(self) -> None:
        catalog = data(("a",), task="multilabel")
        assert with_vocabulary(catalog) is catalog

    def test_no_word_left(self) -> None:
        with pytest.raises(LookcloserError, match="no word is left of 2 training captions with"):
            with_vocabulary(data(("a dog", "the cat")), min_count=2)
