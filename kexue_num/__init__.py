"""Numerical algorithms of the blog kexue.fm, with certified answers."""

__version__ = "0.1.0.dev0"
