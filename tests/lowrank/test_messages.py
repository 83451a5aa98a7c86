"""Bad input: an error before any work, naming function, argument, expectation and value."""

import numpy as np
import pytest
from scipy.sparse import coo_array, csr_array
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from kexue_num.lowrank import interp_decomp

A = np.arange(12.0).reshape(4, 3)


def with_value(value, dtype=np.float64):
    B = np.ones((4, 3), dtype=dtype)
    B[2, 1] = value
    return B


class OnDevice:
    """An array of another library whose memory is not the processor's."""

    device = "cuda:0"

    def __dlpack_device__(self):
        return (2, 0)

    def __dlpack__(self, **_):
        raise AssertionError("must not be asked for its memory")


# (A, other arguments, error, pattern after "interp_decomp: ")
BAD = {
    "rank above min(m, n)": (A, {"rank": 4}, ValueError, "'rank' must .*3.*, got 4"),
    "rank above min, wide": (A.T, {"rank": 4}, ValueError, "'rank' must .*3.*, got 4"),
    "rank above min, rows": (A, {"rank": 4, "axis": 0}, ValueError, "'rank' must .*3.*got 4"),
    "rank of nothing": (A[:0], {"rank": 1}, ValueError, "'rank' must .*0.*, got 1"),
    "rank, sparse": (csr_array(A), {"rank": 4}, ValueError, "'rank' must .*3.*, got 4"),
    "rank, operator": (aslinearoperator(A), {"rank": 4}, ValueError, "'rank' must .*3.*, got 4"),
    "negative rank": (A, {"rank": -1}, ValueError, "'rank' must .*0.*, got -1"),
    "fractional rank": (A, {"rank": 2.7}, TypeError, "'rank' must be an integer, got 2.7"),
    "rank 2.0": (A, {"rank": 2.0}, TypeError, "'rank' must be an integer, got 2.0"),
    "boolean rank": (A, {"rank": True}, TypeError, "'rank' must be an integer, got True"),
    "text rank": (A, {"rank": "2"}, TypeError, "'rank' must be an integer, got '2'"),
    "rank array": (A, {"rank": np.array([2, 2])}, TypeError, "'rank' must be an integer, got"),
    "neither": (A, {}, ValueError, "exactly one of 'rank' and 'tol' must be given, got neither"),
    "both": (A, {"rank": 2, "tol": 0.1}, ValueError, "exactly one of 'rank' and 'tol'.*got both"),
    "negative tol": (A, {"tol": -0.1}, ValueError, "'tol' must .*, got -0.1"),
    "zero tol": (A, {"tol": 0.0}, ValueError, "'tol' must .*, got 0.0"),
    "tol of one": (A, {"tol": 1.0}, ValueError, "'tol' must .*1.*, got 1.0"),
    "tol NaN": (A, {"tol": np.nan}, ValueError, "'tol' must .*, got nan"),
    "tol infinite": (A, {"tol": np.inf}, ValueError, "'tol' must .*, got inf"),
    "tol too small": (A, {"tol": 2e-15}, ValueError, "'tol' must .*2.22.*e-15.*, got 2e-15"),
    "tol too small for float32": (
        A.astype(np.float32),
        {"tol": 1e-6},
        ValueError,
        "'tol' must .*1.19.*e-06.*, got 1e-06",
    ),
    "tol too small for complex64": (
        csr_array(A.astype(np.complex64)),
        {"tol": 1e-6},
        ValueError,
        "'tol' must .*1.19.*e-06.*, got 1e-06",
    ),
    "text tol": (A, {"tol": "small"}, TypeError, "'tol' must be a real number, got 'small'"),
    "complex tol": (A, {"tol": 0.1j}, TypeError, "'tol' must be a real number, got 0.1j"),
    "axis 2": (A, {"rank": 1, "axis": 2}, ValueError, "'axis' must .*0.*1.*, got 2"),
    "axis -3": (A, {"rank": 1, "axis": -3}, ValueError, "'axis' must .*, got -3"),
    "axis None": (A, {"rank": 1, "axis": None}, TypeError, "'axis' must .*integer.*, got None"),
    "method": (
        A,
        {"rank": 1, "method": "qr"},
        ValueError,
        "'method' must be one of 'auto', 'randomized', 'deterministic', got 'qr'",
    ),
    "method None": (A, {"rank": 1, "method": None}, TypeError, "'method' must .*, got None"),
    "select": (
        A,
        {"rank": 1, "select": "best"},
        ValueError,
        "'select' must be one of 'auto', 'qrcp'.*, got 'best'",
    ),
    "refine": (
        A,
        {"rank": 1, "refine": "more"},
        ValueError,
        "'refine' must be one of 'auto', 'sketch', 'exact', got 'more'",
    ),
    "z_bound": (A, {"rank": 1, "z_bound": 0.5}, ValueError, "'z_bound' must .*1.*, got 0.5"),
    "z_bound NaN": (A, {"rank": 1, "z_bound": np.nan}, ValueError, "'z_bound' must .*, got nan"),
    "z_bound text": (A, {"rank": 1, "z_bound": "2"}, TypeError, "'z_bound' must .*, got '2'"),
    "confidence 0": (A, {"rank": 1, "confidence": 0}, ValueError, "'confidence' must .*, got 0"),
    "confidence 1": (A, {"rank": 1, "confidence": 1}, ValueError, "'confidence' must .*, got 1"),
    "confidence percent": (
        A,
        {"rank": 1, "confidence": 99.9},
        ValueError,
        "'confidence' must .*, got 99.9",
    ),
    "workers 0": (A, {"rank": 1, "workers": 0}, ValueError, "'workers' must .*1.*, got 0"),
    "workers 1.5": (A, {"rank": 1, "workers": 1.5}, TypeError, "'workers' must .*, got 1.5"),
    "rng text": (A, {"rank": 1, "rng": "dice"}, TypeError, "'rng' must .*Generator.*, got 'dice'"),
    "rng negative": (A, {"rank": 1, "rng": -1}, ValueError, "'rng' must .*, got -1"),
    "rng legacy": (
        A,
        {"rank": 1, "rng": np.random.RandomState(0)},
        TypeError,
        "'rng' must .*default_rng.*got RandomState",
    ),
    "0-d": (np.float64(3), {"rank": 1}, ValueError, r"'A' must be 2-dimensional, got shape \(\)"),
    "1-d": (A[0], {"rank": 1}, ValueError, r"'A' must be 2-dimensional, got shape \(3,\)"),
    "3-d": (A[None], {"rank": 1}, ValueError, r"'A' must be 2-dimensional, got shape \(1, 4, 3\)"),
    "1-d sparse": (
        coo_array(np.arange(3.0)),
        {"rank": 1},
        ValueError,
        r"'A' must be 2-dimensional, got shape \(3,\)",
    ),
    "ragged": ([[1.0, 2.0], [3.0]], {"rank": 1}, ValueError, "'A' must be a rectangular"),
    "None": (None, {"rank": 1}, TypeError, "'A' must be .*, got None"),
    "text": ([["a", "b"]], {"rank": 1}, TypeError, "'A' must be .*numbers.*, got dtype <U1"),
    "object": (A.astype(object), {"rank": 1}, TypeError, "'A' must be .*, got dtype object"),
    "datetime": (A.astype("M8[s]"), {"rank": 1}, TypeError, r"'A' must .*datetime64\[s\]"),
    "masked": (np.ma.masked_equal(A, 3), {"rank": 1}, TypeError, "'A' must .*mask.*MaskedArray"),
    "device": (OnDevice(), {"rank": 1}, TypeError, "'A' must be in the memory of the CPU.*cuda"),
    "operator of objects": (
        LinearOperator((3, 3), matvec=lambda x: x, rmatvec=lambda x: x, dtype=object),
        {"rank": 1},
        TypeError,
        "'A' must .*, got dtype object",
    ),
    "NaN": (
        with_value(np.nan),
        {"rank": 2},
        ValueError,
        r"'A' must be finite, got nan at \[2, 1\]",
    ),
    "inf": (
        with_value(np.inf),
        {"tol": 0.1},
        ValueError,
        r"'A' must be finite, got inf at \[2, 1\]",
    ),
    "NaN, float32": (
        with_value(np.nan, np.float32),
        {"rank": 2},
        ValueError,
        "'A' must be finite, got nan",
    ),
    "NaN, complex": (
        with_value(complex(0, np.nan), np.complex128),
        {"rank": 2},
        ValueError,
        "'A' must be finite, got",
    ),
    "NaN, rank 0": (with_value(np.nan), {"rank": 0}, ValueError, "'A' must be finite, got nan"),
    "NaN, sparse": (
        csr_array(with_value(np.nan)),
        {"rank": 2},
        ValueError,
        "'A' must be finite, got nan",
    ),
    "NaN, deterministic": (
        with_value(np.nan),
        {"rank": 2, "method": "deterministic"},
        ValueError,
        "'A' must be finite, got nan",
    ),
    "NaN, rows": (
        with_value(np.nan),
        {"rank": 2, "axis": 0},
        ValueError,
        r"'A' must be finite, got nan",
    ),
    "NaN, operator": (
        aslinearoperator(with_value(np.nan)),
        {"rank": 2},
        ValueError,
        "'A' must .*finite",
    ),
    "deterministic, sparse": (
        csr_array(A),
        {"rank": 1, "method": "deterministic"},
        ValueError,
        "'method' must .*dense.*csr_array",
    ),
    "deterministic, operator": (
        aslinearoperator(A),
        {"rank": 1, "method": "deterministic"},
        ValueError,
        "'method' must .*dense",
    ),
}
if np.dtype(np.longdouble) != np.float64:  # where the platform has no wider type it is float64
    WIDE = A.astype(np.longdouble)
    BAD["longdouble"] = (WIDE, {"rank": 1}, TypeError, "'A' must .*, got dtype")
    BAD["longdouble, sparse"] = (csr_array(WIDE), {"rank": 1}, TypeError, "'A' must .*, got dtype")


@pytest.mark.parametrize("case", BAD)
def test_message(case):
    matrix, arguments, error, pattern = BAD[case]
    with pytest.raises(error, match=f"^interp_decomp: {pattern}"):
        interp_decomp(matrix, **arguments)


@pytest.mark.parametrize("shape", [(300, 7), (7, 300), (200, 200)])
@pytest.mark.parametrize("goal", [{"rank": 5}, {"tol": 0.1}], ids=str)
@pytest.mark.parametrize("method", ["randomized", "deterministic"])
def test_one_nan_anywhere_is_found(shape, goal, method):
    rng = np.random.default_rng(0)
    for _ in range(20):
        B = rng.standard_normal(shape)
        row, column = (int(rng.integers(side)) for side in shape)
        B[row, column] = rng.choice([np.nan, np.inf, -np.inf])
        place = rf"\[{row}, {column}\]"
        with pytest.raises(ValueError, match=rf"^interp_decomp: 'A' must be finite.*at {place}$"):
            interp_decomp(B, **goal, method=method)


def test_opposite_infinities_and_sums_that_overflow():
    B = np.ones((40, 30))
    B[3, 4], B[5, 4] = np.inf, -np.inf
    with pytest.raises(ValueError, match=r"^interp_decomp: 'A' must be finite, got"):
        interp_decomp(B, 3)
    large = np.finfo(np.float64).max * np.random.default_rng(0).uniform(-1, 1, (40, 30))
    assert np.isfinite(interp_decomp(large / 64, 3, rng=0).coefficients).all()


def test_everything_but_a_and_rank_is_by_keyword():
    with pytest.raises(TypeError, match="positional"):
        interp_decomp(A, 2, 0.1)


def test_a_rejected_call_draws_no_random_number():
    generator = np.random.default_rng(0)
    state = generator.bit_generator.state
    with pytest.raises(ValueError, match="'rank'"):
        interp_decomp(A, 9, rng=generator)
    assert generator.bit_generator.state == state


def test_choices_name_what_exists():
    with pytest.raises(ValueError, match=r"^interp_decomp: 'select' must be one of 'auto', 'qrcp'"):
        interp_decomp(A, 2, select="osinsky2")
    for select in ("auto", "qrcp"):
        assert interp_decomp(A, 2, select=select).rank == 2
