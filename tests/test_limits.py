"""The measured limits: plausible for every instruction set and number of threads."""

import dataclasses

import pytest

import kexue_num


@pytest.mark.parametrize("workers", [1, 2])
def test_limits_are_positive_for_every_instruction_set(isa, workers):
    limits = kexue_num.machine_limits(workers)
    assert (limits.workers, limits.isa) == (workers, isa)
    rates = dataclasses.astuple(limits)[2:]
    # From a very slow computer to a very fast one.
    assert all(1e7 < rate < 1e15 for rate in rates)


def test_default_is_the_library_setting():
    with kexue_num.worker_limit(1):
        limits = kexue_num.machine_limits()
    assert limits.workers == 1
    assert repr(limits).startswith("MachineLimits(workers=1, isa='")
    with pytest.raises(dataclasses.FrozenInstanceError):
        limits.workers = 2


@pytest.mark.parametrize("workers", [0, -1, 1025])
def test_workers_out_of_range(workers):
    with pytest.raises(ValueError, match=rf"machine_limits: 'workers' .* got {workers}$"):
        kexue_num.machine_limits(workers)


@pytest.mark.parametrize("workers", [1.5, "2", True])
def test_workers_of_the_wrong_kind(workers):
    with pytest.raises(TypeError, match="machine_limits: 'workers' must be an integer"):
        kexue_num.machine_limits(workers)
