"""Text that ships with Python and with installed packages, and small models of the peers."""

import functools
import io
from importlib.resources import files

import pytest


@functools.cache
def prose():
    """English lines."""
    import pydoc_data.topics

    return tuple("\n".join(pydoc_data.topics.topics.values()).splitlines())


@functools.cache
def languages():
    """Lines in many scripts: the names of locales and scripts in their own letters."""
    import unicodedata

    table = files("tzdata").joinpath("zoneinfo", "iso3166.tab").read_text(encoding="utf-8")
    letters = [chr(c) for c in range(0x100, 0xFFFF) if unicodedata.category(chr(c))[0] == "L"]
    rows = ["".join(letters[i : i + 7]) for i in range(0, len(letters), 401)]
    return (*table.splitlines()[20:80], *rows)


@functools.cache
def train_sentencepiece(n_lines=600, **options):
    """The bytes of a model; options as pairs that can be hashed."""
    import sentencepiece

    writer = io.BytesIO()
    settings = {"vocab_size": 300, **dict(options)}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(prose()[:n_lines]),
        model_writer=writer,
        minloglevel=2,
        num_threads=1,
        seed_sentencepiece_size=3000,
        **{key: list(v) if isinstance(v, tuple) else v for key, v in settings.items()},
    )
    return writer.getvalue()


@pytest.fixture(scope="session")
def english():
    return prose()


@pytest.fixture(scope="session")
def multilingual():
    return languages()


@pytest.fixture(scope="session")
def sentencepiece_bytes():
    return train_sentencepiece
