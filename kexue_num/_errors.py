"""The warning and the error that are the library's own."""

from kexue_num._core import NumericalError


class ConvergenceWarning(UserWarning):
    """An iteration stopped before it reached its tolerance; the text says what it reached."""


# Both are public as kexue_num.<name>: tracebacks and pickles say so.
ConvergenceWarning.__module__ = "kexue_num"
NumericalError.__module__ = "kexue_num"

__all__ = ["ConvergenceWarning", "NumericalError"]
