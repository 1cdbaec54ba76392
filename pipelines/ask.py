"""Questions about a photo, answered."""

import re
import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

from pipelines import catalog, decoding, glossary, inputs, runtime
from pipelines.errors import text
from pipelines.inputs import Photo
from pipelines.loaders import Loaded
from pipelines.results import Answer, Partial, Progress, last

OTHERS = 4  # other answers that are weighed, where the row says that the model gives them
Turns = tuple[tuple[str, str], ...]


def stream(
    photo: Photo,
    question: str,
    *,
    model: str | None = None,
    history: Sequence[tuple[str, str]] = (),
    max_words: int = 30,
) -> Generator[Progress | Partial | Answer, None, None]:
    """Answers a question about a photo; yields Partial word by word, then the result.

    `history`: the (question, answer) pairs so far, oldest first; `max_words`: 1 to 200. Raises `UserError`."""
    start = time.perf_counter()
    picture = inputs.photo(photo)
    question = inputs.words(question, "question")
    turns = inputs.history(history)
    max_words = inputs.number(max_words, "max_words", 1, 200)
    row = yield from catalog.choose("ask", model)
    yield from runtime.prepare(row)
    with runtime.lend(row) as loaded:
        asked = question
        if row.english_only:
            asked = glossary.question(question)
            turns = tuple((glossary.question(before), answer) for before, answer in turns)
        notes = [text("notes.question_read", question=asked)] if asked != question else []
        notes += [text("notes.wordless")] if not re.search(r"\w", asked) else []
        notes += [*catalog.foreign_notes(row, asked), *inputs.remarks(picture)]
        yield Progress("looking")
        written = yield from FAMILIES[row.family](loaded, picture, asked, turns, max_words)
        yield Answer(
            **runtime.made(loaded, start),
            text=written.text,
            words=written.words,
            confidence=written.confidence,
            others=written.others,
            notes=(*written.notes, *notes),
        )


def run(photo: Photo, question: str, **settings: Any) -> Answer:
    """Drains `stream` and returns its result."""
    return last(stream(photo, question, **settings), Answer)


def _chat(
    loaded: Loaded, picture: Any, question: str, turns: Turns, max_words: int
) -> Generator[Progress | Partial, None, decoding.Written]:
    """Chat models with vision (FastVLM, SmolVLM, Qwen-VL, …)."""
    batch, notes = decoding.chat_inputs(loaded, picture, turns, question)
    others = OTHERS if loaded.row.options.get("other_answers") else 0
    temperature = loaded.row.options.get("answer_temperature", 1.0)
    written = yield from decoding.write(loaded, batch, max_words=max_words, others=others, temperature=temperature)
    return replace(written, notes=notes)


def _blip(
    loaded: Loaded, picture: Any, question: str, turns: Turns, max_words: int
) -> Generator[Progress | Partial, None, decoding.Written]:
    """BLIP's class for question answering, which answers each question by itself. Source: Li et al., BLIP, 2022."""
    batch = decoding.to_device(loaded, loaded.processor(images=picture, text=question, return_tensors="pt"))
    return (yield from decoding.write(loaded, batch, max_words=max_words))


FAMILIES = {"chat": _chat, "blip": _blip}
