"""The language of the page: each visitor's own where there are texts in it, unless whoever serves the page chose one.

The page is built once, with marks where words belong; they become words when a browser asks for the page, and whatever is
said to it later is said in the language that it asks for, too."""

import contextlib
import html
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from pipelines import errors

LEFT, RIGHT = errors.MARKS


def of(headers: Mapping[str, str]) -> str:
    """The language to speak to whoever sends these headers: RFC 9110, 12.5.4."""
    if chosen := errors.chosen():
        return chosen
    wanted = []
    for one in headers.get("accept-language", "").lower().replace(" ", "").split(","):
        tag, _, quality = one.partition(";q=")
        with contextlib.suppress(ValueError):
            wanted.append((-float(quality or 1), tag.partition("-")[0]))
    best = sorted(wanted, key=lambda one: one[0])
    return next((tag for less, tag in best if less and tag in errors.languages()), "en")


def translated(value: Any, language: str) -> Any:
    """A copy in which each mark is the sentence that it stands for."""

    def sentence(mark: re.Match[str]) -> str:
        return errors.text(mark[1], language, **dict(parse_qsl(html.unescape(mark[2]))))

    if isinstance(value, str):
        return re.sub(rf"{LEFT}([^{RIGHT}?]+)\??([^{RIGHT}]*){RIGHT}", sentence, value)
    if isinstance(value, dict):
        return {name: translated(one, language) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [translated(one, language) for one in value]
    return value


class Spoken:
    """ASGI middleware: a request is answered in the language of whoever sent it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            sent = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
            errors.reader.set(of(sent))
        await self.app(scope, receive, send)
