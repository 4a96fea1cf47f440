import numpy as np

from lookcloser.scratch import word_embedding_backward, word_embedding_forward


def test_forward_picks_rows(spread):
    words = np.array([[0, 3, 1, 2], [2, 1, 0, 3]])
    W = spread(0, 1, 5, 3)
    out, _ = word_embedding_forward(words, W)
    np.testing.assert_allclose(out[0, 1], [9 / 14, 10 / 14, 11 / 14])
    np.testing.assert_array_equal(out[1, 2], W[0])


def test_a_repeated_word_sums_its_gradients(rng):
    """Assigning instead of adding, the classic mistake, keeps only one occurrence."""
    words = rng.integers(0, 7, size=(6, 9))
    words[words == 4] = 5
    dout = rng.normal(size=(6, 9, 3))
    _, cache = word_embedding_forward(words, rng.normal(size=(7, 3)))
    expected = np.zeros((7, 3))
    for word, gradient in zip(words.ravel(), dout.reshape(-1, 3), strict=True):
        expected[word] += gradient
    result = word_embedding_backward(dout, cache)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12)
    assert not result[4].any()


def test_no_words_no_gradient():
    _, cache = word_embedding_forward(np.zeros((2, 0), dtype=int), np.ones((4, 3)))
    np.testing.assert_array_equal(word_embedding_backward(np.ones((2, 0, 3)), cache), 0)
