import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from lookcloser.closed_form import Memory, Statistics, discriminant, fit_discriminant
from lookcloser.closed_form.discriminant import leave_one_out, temperature_of_all
from lookcloser.closed_form.spectrum import Products, Shrunken, Spectrum
from lookcloser.uncertainty import candidate_sets, fit_temperature, refusals, softmax


def drawn(per_class=8, classes=4, width=20, seed=0, spread=1.0):
    """Features float32 around a mean for each class, and the classes."""
    rng = np.random.default_rng(seed)
    means = np.random.default_rng(99).normal(size=(classes, width))
    numbers = np.repeat(np.arange(classes), per_class)
    return (means[numbers] + spread * rng.normal(size=(len(numbers), width))).astype(
        np.float32
    ), numbers


def memory_of(features, classes, **options):
    return Memory.of(features, np.eye(classes.max() + 1, dtype=bool)[classes], **options)


def logits(head, features):
    return features.astype(np.float64) @ head.weight.T + head.bias


@pytest.mark.parametrize("per_class", [4, 30])
@pytest.mark.parametrize("shrinkage", [0.03, 0.5])
def test_it_is_the_peers_discriminant(per_class, shrinkage):
    features, classes = drawn(per_class)
    head = fit_discriminant(memory_of(features, classes), shrinkages=[shrinkage])
    deviations = (
        features - np.stack([features[classes == c].mean(axis=0) for c in range(4)])[classes]
    )
    covariance = deviations.astype(float).T @ deviations / (len(features) - 4)
    mean = np.trace(covariance) / 20
    full = (1 - shrinkage) * covariance + shrinkage * mean * np.eye(20)

    class Fixed:
        def fit(self, rows):
            self.covariance_ = full
            return self

    peer = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=Fixed())
    peer.fit(features.astype(float), classes)
    mine, theirs = logits(head, features), peer.decision_function(features.astype(float))
    np.testing.assert_allclose(
        mine - mine.mean(axis=1, keepdims=True),
        theirs - theirs.mean(axis=1, keepdims=True),
        rtol=1e-5,
        atol=1e-5,
    )


def refitted(features, classes, slope, level, row):
    """Scores and distances of one row from a discriminant of the others, the terms of A kept."""
    others = np.arange(len(features)) != row
    rows, rest = features[others].astype(float), classes[others]
    means = np.stack([rows[rest == c].mean(axis=0) for c in range(classes.max() + 1)])
    deviations = rows - means[rest]
    inverse = np.linalg.inv(slope * deviations.T @ deviations + level * np.eye(features.shape[1]))
    gaps = features[row] - means
    scores = means @ inverse @ features[row] - 0.5 * np.diag(means @ inverse @ means.T)
    return scores, np.diag(gaps @ inverse @ gaps.T)


@pytest.mark.parametrize("per_class", [2, 3, 12])
def test_leaving_one_out_equals_solving_without_it(per_class):
    features, classes = drawn(per_class)
    slope, level = 0.07, 0.4
    means = np.stack([features[classes == c].astype(float).mean(axis=0) for c in range(4)])
    wide = features.astype(float)
    spectrum = Spectrum.of_rows(wide - means[classes])
    matrix = Shrunken(slope, level)
    inner = Products(spectrum, wide, means).under(matrix)
    found = leave_one_out(inner, matrix, classes, np.full(4, float(per_class)))
    for row in range(len(features)):
        scores, distances = refitted(features, classes, slope, level, row)
        np.testing.assert_allclose(found.scores[row], scores, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(found.distances[row], distances, rtol=1e-8, atol=1e-8)


def test_the_center_of_the_features_does_not_matter():
    features, classes = drawn()
    near, far = (fit_discriminant(memory_of(features + s, classes)) for s in (0, 100))
    assert near.shrinkage == far.shrinkage
    a, b = logits(near, features), logits(far, features + np.float32(100))
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    np.testing.assert_allclose(a, b, atol=1e-3 * np.abs(a).max())


def test_shrinkage_follows_the_number_of_images():
    """Features that vary by very different amounts: with enough images that is worth knowing."""
    scales = np.geomspace(0.1, 10, 20).astype(np.float32)
    drawings = ((features * scales, classes) for features, classes in map(drawn, (3, 300)))
    few, many = (fit_discriminant(memory_of(*pair)).shrinkage for pair in drawings)
    assert many < few


def test_probabilities_mean_what_they_say():
    features, classes = drawn(25, spread=2.5)
    head = fit_discriminant(memory_of(features, classes))
    new, truth = drawn(1000, seed=1, spread=2.5)
    probabilities = softmax(logits(head, new) / head.calibration.temperature)
    right = probabilities.argmax(axis=1) == truth
    assert right.mean() == pytest.approx(head.accuracy, abs=0.08)
    assert probabilities.max(axis=1).mean() == pytest.approx(right.mean(), abs=0.05)


def new_images(head, **how):
    """What a head says of many new images, and the truth."""
    new, truth = drawn(20, seed=1000, **how)
    return logits(head, new), truth


def left_out_temperature(features, classes, shrinkage, monkeypatch):
    """Of a head whose temperature is that of images left out one by one."""
    with monkeypatch.context() as patch:
        patch.setattr(discriminant, "temperature_of_all", lambda _r, _c, found, *_: found)
        head = fit_discriminant(memory_of(features, classes), shrinkages=[shrinkage])
    return head.calibration.temperature


@pytest.mark.parametrize("per_class", [3, 5])
def test_the_temperature_is_that_of_all_images_not_of_all_but_one(per_class, monkeypatch):
    """Over several draws, as one says little: much nearer to what is best for new images."""
    how = {"spread": 1.5, "width": 60, "classes": 20}
    before, after = [], []
    for seed in range(14):
        features, classes = drawn(per_class, seed=seed, **how)
        head = fit_discriminant(memory_of(features, classes), shrinkages=[0.9])
        best = fit_temperature(*new_images(head, **how))
        before.append(np.log(left_out_temperature(features, classes, 0.9, monkeypatch) / best))
        after.append(np.log(head.calibration.temperature / best))
    assert np.mean(before) > 0.1, "the bias that there is to be taken away"
    assert abs(np.mean(after)) < 0.75 * np.mean(before)


def test_with_many_images_one_fewer_changes_nothing(monkeypatch):
    features, classes = drawn(20, spread=2.5)
    head = fit_discriminant(memory_of(features, classes), shrinkages=[0.5])
    assert head.calibration.temperature == left_out_temperature(features, classes, 0.5, monkeypatch)


@pytest.mark.parametrize(
    "counts", [(2, 2, 2), (1, 2, 2), (3, 1, 2), (9, 1, 1)], ids=lambda c: "-".join(map(str, c))
)
def test_classes_of_very_few_images_have_a_temperature(counts):
    features, classes = drawn(9, classes=3)
    kept = np.concatenate([np.flatnonzero(classes == c)[:n] for c, n in enumerate(counts)])
    head = fit_discriminant(memory_of(features[kept], classes[kept]))
    assert 0 < head.calibration.temperature < np.inf


def test_images_that_are_all_the_same_have_a_temperature():
    rows = np.repeat(np.eye(3, 5), 4, axis=0)
    found = temperature_of_all(rows, np.repeat(np.arange(3), 4), 2.0, 0.5, np.zeros(3))
    assert found == 2.0


def test_copies_say_nothing_new_and_the_temperature_never_rises():
    features, classes = drawn(2)
    rows, many = np.repeat(features, 3, axis=0).astype(float), np.repeat(classes, 3)
    assert temperature_of_all(rows, many, 2.0, 0.5, np.zeros(4)) <= 2.0


def test_sets_cover_what_they_promise():
    features, classes = drawn(50, spread=2.5)
    head = fit_discriminant(memory_of(features, classes))
    new, truth = drawn(1000, seed=1, spread=2.5)
    probabilities = softmax(logits(head, new) / head.calibration.temperature)
    sets = candidate_sets(head.calibration, probabilities, 0.9)
    assert sets[np.arange(len(truth)), truth].mean() == pytest.approx(0.9, abs=0.03)


def test_the_shrinkage_is_that_of_the_lowest_cross_entropy_left_out(monkeypatch):
    """Of the scores of images left out, at the temperature that suits them."""
    features, classes = drawn(6, spread=2.0)
    seen, original = [], discriminant.leave_one_out
    monkeypatch.setattr(discriminant, "temperature_of_all", lambda _r, _c, found, *_: found)

    def note(*arguments):
        seen.append(original(*arguments))
        return seen[-1]

    monkeypatch.setattr(discriminant, "leave_one_out", note)
    memory = memory_of(features, classes)
    head = fit_discriminant(memory, shrinkages=[0.01, 0.2, 0.9])
    classes = memory.labels.argmax(axis=1)  # a memory has an order of its own
    losses = []
    for left_out in seen:
        # Equal classes, so that nothing but the temperature comes between.
        scaled = [left_out.scores / t for t in np.geomspace(0.001, 1000, 6000)]
        rows = np.arange(len(classes))
        losses.append(min(-log_softmax(s, axis=1)[rows, classes].mean() for s in scaled))
    assert head.shrinkage == [0.01, 0.2, 0.9][int(np.argmin(losses))]
    assert head.loss == pytest.approx(min(losses), rel=0.01), "but for what was expected"


def test_each_shrinkage_is_worked_out_once(monkeypatch):
    """And the best temperature is found anew only where it is another for all images."""
    worked, fitted = [], []
    under, fit = Products.under, discriminant.fit_temperature
    monkeypatch.setattr(Products, "under", lambda *a: worked.append(a) or under(*a))
    monkeypatch.setattr(
        discriminant, "fit_temperature", lambda *a: fitted.append(fit(*a)) or fitted[-1]
    )
    features, classes = drawn(per_class=30)  # so many that one fewer changes nothing
    head = fit_discriminant(memory_of(features, classes), shrinkages=[0.1, 0.5])
    assert len(worked) == 2
    assert len(fitted) == 3, "for each shrinkage, and without what is expected"
    assert head.calibration.temperature in fitted[:2]


def test_distances_are_mahalanobis():
    features, classes = drawn()
    head = fit_discriminant(memory_of(features, classes), shrinkages=[0.3])
    means = np.stack([features[classes == c].astype(float).mean(axis=0) for c in range(4)])
    deviations = features - means[classes]
    covariance = deviations.T @ deviations / (len(features) - 4)
    full = 0.7 * covariance + 0.3 * np.trace(covariance) / 20 * np.eye(20)
    new, _ = drawn(5, seed=3)
    gaps = new[:, None] - means
    expected = np.einsum("ncd,de,nce->nc", gaps, np.linalg.inv(full), gaps).min(axis=1)
    found = head.metric.distances(new, logits(head, new))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_images_unlike_all_others_are_refused():
    features, classes = drawn(30)
    head = fit_discriminant(memory_of(features, classes))
    strange = (20 * np.random.default_rng(5).normal(size=(50, 20))).astype(np.float32)
    scores = logits(head, strange)
    said = refusals(head.calibration, scores, head.metric.distances(strange, scores))
    assert all(said)


class TestUnevenClasses:
    def uneven(self):
        features, classes = drawn(60, classes=2, width=4, spread=3.0)
        kept = np.concatenate([np.arange(60), np.arange(60, 66)])
        return features[kept], classes[kept]

    def test_the_larger_class_is_held_more_likely(self):
        features, classes = self.uneven()
        by_share = fit_discriminant(memory_of(features, classes), shrinkages=[0.3])
        even = fit_discriminant(memory_of(features, classes), shrinkages=[0.3], balanced=True)
        new, _ = drawn(200, classes=2, width=4, seed=1, spread=3.0)
        named = [(logits(head, new).argmax(axis=1) == 0).mean() for head in (by_share, even)]
        assert named[0] > named[1] + 0.1

    def test_shares_are_added_at_the_temperature(self):
        features, classes = self.uneven()
        by_share = fit_discriminant(memory_of(features, classes), shrinkages=[0.3])
        even = fit_discriminant(memory_of(features, classes), shrinkages=[0.3], balanced=True)
        moved = (by_share.bias - even.bias) / by_share.calibration.temperature
        assert moved[0] - moved[1] == pytest.approx(np.log(10))


class TestFewImages:
    def test_one_image_a_class(self):
        features, classes = drawn(1)
        head = fit_discriminant(memory_of(features, classes))
        assert (logits(head, features).argmax(axis=1) == classes).all()
        assert head.calibration.images == 0, "nothing can be left out"
        assert np.isnan(head.accuracy)

    def test_a_class_of_one_image_among_others(self):
        features, classes = drawn(6)
        keep = np.r_[0:18, 18]
        head = fit_discriminant(memory_of(features[keep], classes[keep]))
        assert head.calibration.images == 18
        assert np.isfinite(head.weight).all()
        assert np.isfinite(head.calibration.temperature)

    def test_two_images_a_class(self):
        features, classes = drawn(2, spread=0.1)
        head = fit_discriminant(memory_of(features, classes))
        assert head.accuracy == 1

    def test_copies_of_one_image(self):
        features = np.repeat(np.eye(3, 8, dtype=np.float32), 4, axis=0)
        head = fit_discriminant(memory_of(features, np.repeat(np.arange(3), 4)))
        assert (logits(head, np.eye(3, 8)).argmax(axis=1) == np.arange(3)).all()

    @pytest.mark.parametrize("classes", [[0, 0, 0], [0, 0, 2]])
    def test_a_class_without_images(self, classes):
        with pytest.raises(ValueError, match="images of"):
            fit_discriminant(memory_of(np.eye(3, dtype=np.float32), np.array(classes)))

    def test_features_that_are_all_the_same(self):
        same = np.ones((4, 3), dtype=np.float32)
        with pytest.raises(ValueError, match="the same"):
            fit_discriminant(memory_of(same, np.array([0, 0, 1, 1])))


def test_channels_that_never_vary_do_no_harm():
    features, classes = drawn(30)
    wider = np.concatenate([features, np.zeros((120, 5), dtype=np.float32)], axis=1)
    head = fit_discriminant(memory_of(wider, classes))
    assert np.isfinite(head.weight).all()
    assert head.accuracy > 0.9


def apart(per_class, classes=4, width=40, seed=0):
    """Classes that are told apart by far."""
    features, numbers = drawn(per_class, classes, width, seed)
    return features + 4 * np.eye(classes, width, dtype=np.float32)[numbers], numbers


@pytest.mark.parametrize("per_class", [3, 8])
def test_images_that_are_all_right_do_not_make_it_extreme(per_class):
    """Where every candidate is right by far, the least shrunken one is no better for that."""
    features, classes = apart(per_class)
    head = fit_discriminant(memory_of(features, classes))
    assert head.accuracy == 1
    assert head.shrinkage >= 0.1
    other = np.random.default_rng(5).normal(size=(400, 40))
    sure = softmax(logits(head, other) / head.calibration.temperature).max(axis=1)
    assert np.quantile(sure, 0.2) < 0.95, "of what is none of the classes"


@pytest.mark.parametrize("per_class", [1, 2])
def test_one_or_two_images_a_class_are_not_sure_of_everything(per_class):
    how = {"classes": 20, "width": 60, "spread": 1.5}
    for seed in range(3):
        features, classes = drawn(per_class, seed=seed, **how)
        head = fit_discriminant(memory_of(features, classes))
        new, truth = new_images(head, **how)
        shares = softmax(new / head.calibration.temperature)
        assert shares.max(axis=1).mean() < (shares.argmax(axis=1) == truth).mean() + 0.15


def test_classes_of_one_image_leave_the_temperature_to_the_others():
    features, classes = apart(6)
    kept = np.concatenate([np.flatnonzero(classes == c)[:n] for c, n in enumerate((6, 6, 2, 1))])
    pair = features[kept], classes[kept]
    assert 1 < fit_discriminant(memory_of(*pair)).calibration.temperature < 100


@pytest.mark.parametrize("limit", [100, 5])
@pytest.mark.parametrize("noise", [0.0, 1e-7])
def test_what_rounding_leaves_is_no_variance(limit, noise):
    """Copies that a network has seen beside other images differ in their last digits."""
    features = np.repeat(drawn(1)[0], 5, axis=0)
    features *= 1 + noise * np.random.default_rng(0).normal(size=features.shape)
    classes = np.repeat(np.arange(4), 5)
    labels = np.eye(4, dtype=bool)[classes]
    memory = Memory(features, labels, None if limit == 100 else Statistics.of(features, labels))
    head = fit_discriminant(memory)
    assert np.abs(head.weight).max() < 1e3
    new, truth = drawn(1)
    assert (logits(head, new).argmax(axis=1) == truth).all()


def test_a_temperature_is_expected_whatever_the_scale_of_features():
    features, classes = drawn(1)
    temperatures = [
        fit_discriminant(memory_of(scale * features, classes)).calibration.temperature
        for scale in (np.float32(1e-6), np.float32(1e6))
    ]
    assert temperatures[0] == pytest.approx(temperatures[1], rel=1e-4)
