"""Every sentence that the code names is there, and every field of a sentence has its value."""

import re
import string
import tomllib
from pathlib import Path

import pytest

from pipelines.errors import UserError, text

ROOT = Path(__file__).parent.parent.parent
SOURCES = {
    path: path.read_text("utf-8") for path in [*ROOT.glob("pipelines/*.py"), *ROOT.glob("ui/*.py"), ROOT / "app.py"]
}
with open(ROOT / "assets" / "texts" / "en.toml", "rb") as file:
    TEXTS = tomllib.load(file)


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


def test_no_error_sentence_is_left_over() -> None:
    everything = "".join(SOURCES.values())
    assert not [code for code in TEXTS["errors"] if f'"{code}"' not in everything]
