"""What is refused, and the conventions of estimators."""

import pickle

import numpy as np
import pytest

import kexue_num
from kexue_num.density import FourierDensity


@pytest.mark.parametrize(
    ("x", "match"),
    [
        ([], "at least 2 samples, got no samples"),
        ([1.0], "at least 2 samples, got 1 sample"),
        ([1.0, np.nan, 2.0], "'x' must be finite"),
        ([1.0, np.inf], "'x' must be finite"),
        ([3.0, 3.0, 3.0], "must not be constant"),
        (np.zeros((3, 2)), "must have shape"),
    ],
)
def test_samples_refused(x, match):
    with pytest.raises(ValueError, match=f"^fit: .*{match}"):
        FourierDensity().fit(x)


def test_samples_of_another_kind():
    with pytest.raises(TypeError, match="'x' must be an array of real numbers"):
        FourierDensity().fit(["a", "b"])
    with pytest.raises(TypeError, match="'x' must be an array of real numbers"):
        FourierDensity().fit(np.ones(3, complex))


@pytest.mark.parametrize(
    ("w", "match"),
    [
        ([1.0, 1.0], "one weight for each of the 3 samples"),
        ([1.0, -1.0, 1.0], "must be >= 0 and not all 0, got -1.0"),
        ([0.0, 0.0, 0.0], "not all 0"),
        ([1.0, np.nan, 1.0], "'sample_weight' must be finite"),
        ([1.0, 0.0, 0.0], "at least 2 samples"),
    ],
)
def test_weights_refused(w, match):
    with pytest.raises(ValueError, match=match):
        FourierDensity().fit([0.0, 1.0, 2.0], w)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"order": -1}, ValueError, "'order' must lie in"),
        ({"order": 2.0}, TypeError, "'order' must be an integer"),
        ({"order": "mdl"}, ValueError, "'order' must be one of"),
        ({"order": 5000}, ValueError, "'order' must lie in"),
        ({"max_order": -2}, ValueError, "'max_order'"),
        ({"support": "line"}, ValueError, "'support' must be one of"),
        ({"support": (1.0, 1.0)}, ValueError, "a < b"),
        ({"support": 3}, TypeError, "'support'"),
        ({"base": "gauss"}, ValueError, "'base' must be one of"),
        ({"scale": 0.0}, ValueError, "'scale' must be > 0, got 0.0"),
        ({"scale": -1.0, "base": "normal"}, ValueError, "'scale' must be > 0"),
        ({"smoothness": -1.0}, ValueError, "'smoothness'"),
        ({"tol": 0.0}, ValueError, "'tol'"),
        ({"rng": "x"}, TypeError, "'rng'"),
        ({"workers": 0}, ValueError, "'workers'"),
        ({"support": (0.0, 1.0), "loc": 1.0}, ValueError, "'loc' must be None"),
        ({"support": "circle", "scale": 1.0}, ValueError, "'scale' must be None"),
    ],
)
def test_options_refused(options, error, match):
    with pytest.raises(error, match=match):
        FourierDensity(**options).fit([0.1, 0.5, 0.7, 0.2])


def test_samples_outside_the_support():
    with pytest.raises(ValueError, match=r"'x' must lie in the support \[0, 1\], got 1.5"):
        FourierDensity(support=(0, 1)).fit([0.5, 1.5])
    with pytest.raises(ValueError, match="'x' must be > 0"):
        FourierDensity(support="positive").fit([0.0, 1.5])


@pytest.mark.parametrize("ends", [(0.1, 0.7), (-1.0, 1e-17), (1e6, 1e6 + 0.1), (-0.3, 0.6)])
def test_samples_at_the_ends(ends):
    a, b = ends
    d = FourierDensity(2, support=ends).fit([a, b, 0.5 * (a + b), b])
    assert np.isfinite(d.loglik_)
    assert d.support_ == ends
    assert d.ppf([0, 1]).tolist() == [a, b]
    assert (d.pdf([a, b]) > 0).all()
    assert d.cdf(b) == pytest.approx(1, abs=1e-14)
    assert d.bin_prob(a, b) == pytest.approx(1, abs=1e-8)


def test_more_coefficients_than_samples():
    with pytest.warns(UserWarning, match="order 12 exceeds what 4 samples carry"):
        d = FourierDensity(12, support=(0, 1)).fit([0.1, 0.5, 0.7, 0.2])
    assert d.bin_prob(0.0, 1.0) == pytest.approx(1, abs=1e-14)
    assert FourierDensity(support=(0, 1)).fit([0.1, 0.5, 0.7, 0.2]).order_ <= 1


def test_a_missed_tolerance_is_told():
    y = np.random.default_rng(0).normal(size=500)
    with pytest.warns(kexue_num.ConvergenceWarning, match="gap_ is .* nats"):
        d = FourierDensity(8, base="logistic", tol=1e-15).fit(y)
    assert not d.converged_


def test_extreme_scales():
    rng = np.random.default_rng(1)
    y = rng.normal(size=300)
    for factor in (1e-150, 1e150):
        d = FourierDensity(4, base="logistic").fit(y * factor)
        assert d.cdf(np.median(y) * factor) == pytest.approx(0.5, abs=0.1)
    with pytest.raises(ValueError, match="variance overflows"):
        FourierDensity().fit([-1e308, 1e308, 3.0])
    far = FourierDensity(4, base="logistic").fit(np.append(y, 1e6))
    assert np.isfinite(far.loglik_)


def test_float32_and_integers():
    y = np.random.default_rng(2).normal(size=400)
    one = FourierDensity(3, base="logistic").fit(y.astype(np.float32))
    two = FourierDensity(3, base="logistic").fit(y.astype(np.float32).astype(float)[:, None])
    assert (one.coef_ == two.coef_).all()
    counts = FourierDensity(3, support=(0, 10)).fit([1, 2, 3, 4, 4, 5, 9])
    assert counts.pdf(3.0) > 0


def test_estimator_conventions():
    d = FourierDensity("bic", max_order=8, support="circle", loc=0.5)
    assert d.get_params()["max_order"] == 8
    copy = FourierDensity(**d.get_params())
    assert copy.get_params() == d.get_params()
    assert d.set_params(order=3).order == 3
    with pytest.raises(ValueError, match="must be one of"):
        d.set_params(degree=3)
    with pytest.raises(AttributeError, match="not fitted"):
        d.pdf(0.0)
    assert "circle" in repr(d)
    assert "gap" in repr(d.fit([0.1, 0.2, 0.5, 1.0, -1.0]))
    assert d.fit([0.1, 0.2, 0.5, 1.0, -1.0]) is d


def test_pickle_and_bytes():
    y = np.random.default_rng(3).normal(size=500)
    x = np.linspace(-3, 3, 50)
    for base in ("logistic", "warp"):
        d = FourierDensity(5, base=base).fit(y)
        again = pickle.loads(pickle.dumps(d))
        assert (again.pdf(x) == d.pdf(x)).all()
        again.partial_fit(y[:10])
        short = FourierDensity.from_bytes(d.to_bytes())
        assert (short.pdf(x) == d.pdf(x)).all()
        assert (short.gap_, short.loglik_, short.loc_) == (d.gap_, d.loglik_, d.loc_)
    with pytest.raises(ValueError, match="must come from to_bytes"):
        FourierDensity.from_bytes(d.to_bytes()[:-1])
    with pytest.raises(ValueError, match="must come from to_bytes"):
        FourierDensity.from_bytes(b"nonsense")
    with pytest.raises(TypeError, match="must be bytes"):
        FourierDensity.from_bytes("text")
    with pytest.raises(ValueError, match="'other' must be fitted"):
        d.merge(short)


def test_merging_needs_one_frame():
    y = np.random.default_rng(4).normal(size=300)
    one = FourierDensity(4, base="logistic").fit(y)
    two = FourierDensity(4, base="logistic").fit(y + 1)
    with pytest.raises(ValueError, match="must have the support, base, loc, scale"):
        one.merge(two)


def test_bins_and_quantiles_refuse():
    d = FourierDensity(2, support=(0, 1)).fit([0.1, 0.4, 0.5, 0.9])
    with pytest.raises(ValueError, match="'lo' must be <= 'hi'"):
        d.bin_prob([0.1, 0.5], [0.2, 0.4])
    with pytest.raises(ValueError, match="support='circle'"):
        d.trig_moment(1)
    with pytest.raises(ValueError, match="'level' must be > 0 and < 1"):
        d.interval(1.0)
    with pytest.raises(ValueError, match="'a' must have a nonzero entry"):
        FourierDensity.from_coefficients([0, 0])
    with pytest.raises(ValueError, match="'f' must return finite values"):
        FourierDensity.from_pdf(lambda x: -np.ones_like(x), 3)


def test_arcs_and_functions_that_cannot_be():
    d = FourierDensity.from_coefficients([1.0], support="circle")
    with pytest.raises(ValueError, match="'hi' must be at most 2 pi above 'lo' on the circle"):
        d.bin_prob(0, 7)
    with pytest.raises(TypeError, match="from_pdf: 'f' must return real numbers of shape"):
        FourierDensity.from_pdf(lambda y: "many", 3, support=(0, 1))
