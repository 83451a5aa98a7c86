"""Every example in a docstring of kexue_num runs and prints what it says."""

import doctest
import importlib
import pkgutil

import pytest

import kexue_num

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules():
    yield "kexue_num"
    for module in pkgutil.walk_packages(kexue_num.__path__, "kexue_num."):
        if module.name.rpartition(".")[2] not in ("__main__", "_core"):
            yield module.name


@pytest.mark.parametrize("name", list(modules()))
def test_examples(name):
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=OPTIONS)
    assert failed == 0


def test_there_are_examples():
    found = doctest.DocTestFinder().find(kexue_num.worker_limit, "worker_limit")
    assert sum(len(test.examples) for test in found) > 0
