"""What a person is told: every sentence stands in `assets/texts/LANGUAGE.toml` under a code."""

import functools
import os
import tomllib
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

TEXTS = Path(__file__).parent.parent / "assets" / "texts"
MARKS = ("⟦", "⟧")  # around a code that stands for its sentence
MARKED = "codes"  # the "language" of what is to be translated for each reader

reader: ContextVar[str] = ContextVar("reader", default="")  # the language of whoever reads what this context says


@functools.cache
def _texts(language: str) -> dict[str, Any]:
    with open(TEXTS / f"{language}.toml", "rb") as file:
        return tomllib.load(file)


@functools.cache
def languages() -> frozenset[str]:
    """Those that there are texts in."""
    return frozenset(path.stem for path in TEXTS.glob("*.toml"))


def chosen() -> str:
    """The language that everybody is spoken to in; "" where it is the reader's own, or there are no texts in it."""
    setting = os.environ.get("QUARTET_LANGUAGE", "auto")
    return setting if setting in languages() else ""


def spoken() -> str:
    """The language of what is said now: the name of a file in `assets/texts`."""
    return reader.get() or chosen() or "en"


def text(code: str, language: str | None = None, **values: object) -> str:
    """The sentence under a dotted `code` ("errors.photo_empty"), its `{fields}` filled from `values`, in a language (None: the
    reader's).

    Raises `KeyError` for a code that the file does not have, or a field without a value."""
    language = language or spoken()
    if language == MARKED:
        return f"{code}?{urlencode(values)}".rstrip("?").join(MARKS)
    entry: Any = _texts(language)
    for part in code.split("."):
        entry = entry[part]
    return str(entry).format(**values) if values else str(entry)


def text_or(code: str, otherwise: str) -> str:
    """The sentence under a code, or the other one where the files have none."""
    try:
        text(code, "en")
    except KeyError:
        return otherwise
    return text(code)


@dataclass(frozen=True)
class Sentence:
    """What `text` says, in the language of whoever reads it."""

    code: str
    values: dict[str, object]

    def __str__(self) -> str:
        return text(self.code, None, **self.values)


def later(code: str, **values: object) -> Sentence:
    """A sentence for several readers."""
    return Sentence(code, values)


class UserError(Exception):
    """A mistake that a person can mend: `code` names its sentence under `[errors]`, `values` fill it."""

    def __init__(self, code: str, **values: object) -> None:
        super().__init__(code, values)
        self.code = code
        self.values = values

    def __reduce__(self) -> tuple[Any, ...]:  # its values are named, which an exception's own copy forgets
        return partial(UserError, self.code, **self.values), ()

    def sentence(self, language: str | None = None) -> str:
        return text(f"errors.{self.code}", language, **self.values)

    def __str__(self) -> str:
        return self.sentence()
