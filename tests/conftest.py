"""Fixtures every test may use."""

import os
from collections.abc import Iterator

import hypothesis
import pytest

from kexue_num import _core

# A machine that is slow, or stops for a while, is no failure: no test measures time. The same
# examples every time, so that what passed passes; `--hypothesis-profile=explore` looks for others.
hypothesis.settings.register_profile(
    "kexue_num",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("kexue_num")


@pytest.fixture(params=_core.available_isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test once with the kernels of each instruction set of this machine."""
    before = _core.active_isa()
    _core.set_active_isa(request.param)
    yield request.param
    _core.set_active_isa(before)


@pytest.fixture
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine say that it has 16 GiB of memory."""
    said = {"SC_PHYS_PAGES": 2**22, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", said.__getitem__, raising=False)
