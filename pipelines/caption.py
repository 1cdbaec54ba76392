"""A sentence about a photo."""

import time
from collections.abc import Generator
from typing import Any

from pipelines import catalog, decoding, inputs, runtime
from pipelines.inputs import Photo
from pipelines.loaders import Loaded
from pipelines.results import Caption, Partial, Progress, last


def stream(
    photo: Photo, *, model: str | None = None, beams: int = 1, max_words: int = 30, prompt: str = ""
) -> Generator[Progress | Partial | Caption, None, None]:
    """Writes a caption; yields Partial word by word (with `beams` > 1: Progress, then the whole), then the result.

    `beams`: 1 to 8; `max_words`: 1 to 200; `prompt`: words that the caption starts with. Raises `UserError`."""
    start = time.perf_counter()
    picture = inputs.photo(photo)
    beams = inputs.number(beams, "beams", 1, 8)
    max_words = inputs.number(max_words, "max_words", 1, 200)
    prompt = inputs.optional_words(prompt, "prompt")
    row = catalog.find("caption", model)
    yield from runtime.prepare(row)
    with runtime.lend(row) as loaded:
        yield Progress("looking")
        written = yield from FAMILIES[row.family](loaded, picture, beams, max_words, prompt)
        yield Caption(
            **runtime.made(loaded, start),
            text=written.text,
            words=written.words,
            confidence=written.confidence,
        )


def run(photo: Photo, **settings: Any) -> Caption:
    """Drains `stream` and returns its result."""
    return last(stream(photo, **settings), Caption)


def _chat(
    loaded: Loaded, picture: Any, beams: int, max_words: int, prompt: str
) -> Generator[Progress | Partial, None, decoding.Written]:
    """Chat models with vision (FastVLM, SmolVLM, Qwen-VL, …): the caption is the answer to the row's question."""
    batch = decoding.chat_inputs(loaded, picture, (), loaded.row.options["caption_prompt"], prompt)
    return (yield from decoding.write(loaded, batch, max_words=max_words, beams=beams, prefix=prompt))


FAMILIES = {"chat": _chat}
