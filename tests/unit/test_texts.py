"""Every sentence that the code names is there, and every field of a sentence has its value."""

import copy
import pickle
import re
import string
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import UserError, text

ROOT = Path(__file__).parent.parent.parent
SOURCES = {
    path: path.read_text("utf-8") for path in [*ROOT.glob("pipelines/*.py"), *ROOT.glob("ui/*.py"), ROOT / "app.py"]
}
LANGUAGES = {path.stem: tomllib.loads(path.read_text("utf-8")) for path in ROOT.glob("assets/texts/*.toml")}
TEXTS = LANGUAGES["en"]


def named(pattern: str) -> list[str]:
    return sorted({code for source in SOURCES.values() for code in re.findall(pattern, source)})


@pytest.mark.parametrize("code", named(r'\btext\("([a-z_0-9]+(?:\.[a-z_0-9]+)+)"'))
def test_a_text_is_there(code: str) -> None:
    assert text(code)


@pytest.mark.parametrize("code", named(r'\bUserError\(\s*"([a-z_0-9]+)"'))
def test_an_error_is_there(code: str) -> None:
    fields = {name for _, name, _, _ in string.Formatter().parse(TEXTS["errors"][code]) if name}
    assert UserError(code, **dict.fromkeys(fields, 1)).sentence()


@pytest.mark.parametrize("code", named(r'\bProgress\(\s*"([a-z_0-9]+)"'))
def test_a_progress_is_there(code: str) -> None:
    assert TEXTS["progress"][code]


def flat(texts: dict[str, Any], before: str = "") -> dict[str, str]:
    """Every sentence by its dotted code."""
    found: dict[str, str] = {}
    for code, entry in texts.items():
        found |= flat(entry, f"{before}{code}.") if isinstance(entry, dict) else {before + code: entry}
    return found


@pytest.mark.parametrize("language", sorted({*LANGUAGES} - {"en"}))
def test_a_translation_has_every_sentence_with_the_same_fields(language: str) -> None:
    def filled(sentence: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}

    own, english = flat(LANGUAGES[language]), flat(TEXTS)
    assert not [code for code in {*own} ^ {*english} if not code.startswith("fields.")]
    assert not [code for code in english if filled(own[code]) != filled(english[code])]


def test_no_error_sentence_is_left_over() -> None:
    everything = "".join(SOURCES.values())
    assert not [code for code in TEXTS["errors"] if f'"{code}"' not in everything]


def test_an_error_is_the_same_after_a_way_to_another_process() -> None:
    for error in (pickle.loads(pickle.dumps(UserError("photo_heavy", limit=3))), copy.copy(UserError("photo_missing"))):
        assert isinstance(error, UserError) and error.sentence()
    assert "3" in str(pickle.loads(pickle.dumps(UserError("photo_heavy", limit=3))))
