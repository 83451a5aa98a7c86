"""Every public function survives one hostile argument: it answers, or names what it refuses."""

import re
import signal
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import kexue_num
from tests import strategies, surface

CALLS = surface.calls(4)
# Callables are trusted, and so is how much work is asked for.
TRUSTED = {"f", "fun", "gradient", "other", "n_steps", "order", "rank"}
FUZZED = {
    name: sorted({*call.arrays, *call.options} - TRUSTED)
    for name, call in CALLS.items()
    if {*call.arrays, *call.options} - TRUSTED
}
# NaN from finite numbers says that there is no value: the quantile of a level outside [0, 1], a
# derivative of the logarithm where the density is 0.
UNDEFINED = ("isf", "ppf", "score", "parameter_gradient")
REFUSALS = (TypeError, ValueError, kexue_num.NumericalError, MemoryError)
EXAMPLES = max(settings().max_examples // 10, 1)


@pytest.fixture(autouse=True)
def no_hang():
    """No call takes a minute, or is deaf to signals while it does."""
    if not hasattr(signal, "alarm"):
        yield
        return

    def expire(signum, frame):
        raise AssertionError("the calls have not come back within minutes")

    before = signal.signal(signal.SIGALRM, expire)
    signal.alarm(60 + 2 * EXAMPLES)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", sorted(FUZZED))
@settings(max_examples=EXAMPLES, phases=[Phase.generate],
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(data=st.data())
def test_hostile_arguments(name, data):
    call = CALLS[name]
    argument = data.draw(st.sampled_from(FUZZED[name]))
    if argument in call.arrays:
        value = data.draw(strategies.hostile_substitutes(call.arrays[argument]))
    else:
        value = data.draw(strategies.hostile_scalars())
    before, result, fault = _content(value), None, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", kexue_num.ConvergenceWarning)
            # What little data cannot carry is an answer, and said to be one.
            warnings.filterwarnings("ignore", "fit: order", UserWarning)
            result = call(**{argument: value})
    except REFUSALS as error:
        fault = str(error)
    assert _content(value) == before, f"{name} has changed {argument}"
    last = name.split(".")[-1]
    if fault is not None:
        # A face of another function may speak in its name; of two arguments that do not go
        # together, either may be named.
        told = any(f"'{other}'" in fault for other in (*call.arrays, *call.options))
        assert (told and re.match(r"[\w.]+: ", fault)) or last in fault, f"{name} says {fault}"
    elif last not in UNDEFINED and np.isfinite(_numbers(value)).all():
        for path, part in surface.flatten(result):
            assert not np.isnan(_numbers(part)).any(), f"{name}{path} is NaN"


def _content(value):
    """The bytes of an array of numbers."""
    return value.tobytes() if isinstance(value, np.ndarray) and value.dtype != object else None


def _numbers(value):
    """The value as numbers, none if it has none."""
    array = np.asarray(value) if isinstance(value, (np.ndarray, float, complex)) else np.zeros(0)
    return array if array.dtype.kind in "fc" else np.zeros(0)
