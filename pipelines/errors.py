"""What a person is told: every sentence stands in `assets/texts/LANGUAGE.toml` under a code."""

import functools
import os
import tomllib
from pathlib import Path
from typing import Any

TEXTS = Path(__file__).parent.parent / "assets" / "texts"


@functools.cache
def _texts(language: str) -> dict[str, Any]:
    with open(TEXTS / f"{language}.toml", "rb") as file:
        return tomllib.load(file)


def spoken() -> str:
    """What the page speaks: the name of a file in `assets/texts`."""
    return os.environ.get("QUARTET_LANGUAGE") or "en"


def text(code: str, language: str | None = None, **values: object) -> str:
    """The sentence under a dotted `code` ("errors.photo_empty"), its `{fields}` filled from `values`, in a language (None: the
    page's).

    Raises `KeyError` for a code that the file does not have, or a field without a value."""
    entry: Any = _texts(language or spoken())
    for part in code.split("."):
        entry = entry[part]
    return str(entry).format(**values) if values else str(entry)


class UserError(Exception):
    """A mistake that a person can mend: `code` names its sentence under `[errors]`, `values` fill it."""

    def __init__(self, code: str, **values: object) -> None:
        super().__init__(code, values)
        self.code = code
        self.values = values

    def sentence(self, language: str | None = None) -> str:
        return text(f"errors.{self.code}", language, **self.values)

    def __str__(self) -> str:
        return self.sentence()
