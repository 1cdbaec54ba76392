"""A sentence about a photo."""

import time
from collections.abc import Generator
from typing import Any

import torch

from pipelines import catalog, decoding, inputs, runtime
from pipelines.errors import UserError
from pipelines.inputs import Photo
from pipelines.loaders import Loaded
from pipelines.results import Caption, Partial, Progress, last


def stream(
    photo: Photo,
    *,
    model: str | None = None,
    beams: int = 1,
    max_words: int = 30,
    prompt: str = "",
    detail: str = "short",
) -> Generator[Progress | Partial | Caption, None, None]:
    """Writes a caption; yields Partial word by word (with `beams` > 1: Progress, then the whole), then the result.

    `beams`: 1 to 8; `max_words`: 1 to 200; `prompt`: words that the caption starts with; `detail`: one of the row's
    `details`, "short" for a row that has none. Raises `UserError`."""
    start = time.perf_counter()
    picture = inputs.photo(photo)
    beams = inputs.number(beams, "beams", 1, 8)
    max_words = inputs.number(max_words, "max_words", 1, 200)
    prompt = inputs.optional_words(prompt, "beginning")
    row = yield from catalog.choose("caption", model)
    question = _question(row, detail)
    yield from runtime.prepare(row)
    with runtime.lend(row) as loaded:
        yield Progress("looking")
        written = yield from FAMILIES[row.family](loaded, picture, question, beams, max_words, prompt)
        yield Caption(
            **runtime.made(loaded, start),
            text=written.text,
            words=written.words,
            confidence=written.confidence,
            notes=(*catalog.foreign_notes(row, prompt), *inputs.remarks(picture)),
        )


def run(photo: Photo, **settings: Any) -> Caption:
    """Drains `stream` and returns its result."""
    return last(stream(photo, **settings), Caption)


def _question(row: catalog.Row, detail: str) -> str:
    """What the model is asked for a caption of this `detail`; "" for a model that captions without being asked."""
    details = row.options.get("details", {"short": ""})
    if not isinstance(detail, str) or detail not in details:
        raise UserError("detail_unknown", model=row.name, detail=inputs.short(str(detail)), known=", ".join(details))
    return details[detail]


def _chat(
    loaded: Loaded, picture: Any, question: str, beams: int, max_words: int, prompt: str
) -> Generator[Progress | Partial, None, decoding.Written]:
    """Chat models with vision (FastVLM, SmolVLM, Qwen-VL, …): the caption is the answer to the row's question."""
    batch, _ = decoding.chat_inputs(loaded, picture, (), question, prompt)
    calibration = loaded.row.options.get("caption_calibration", ())
    settings = {"max_words": max_words, "beams": beams, "calibration": calibration}
    return (yield from decoding.write(loaded, batch, prefix=prompt, **settings))


def _blip(
    loaded: Loaded, picture: Any, question: str, beams: int, max_words: int, prompt: str
) -> Generator[Progress | Partial, None, decoding.Written]:
    """BLIP's captioning class, which goes on from the prompt. Source: Li et al., BLIP, 2022."""
    batch = decoding.to_device(loaded, loaded.processor(images=picture, text=prompt or None, return_tensors="pt"))
    return (yield from decoding.write(loaded, batch, max_words=max_words, beams=beams, prefix=prompt))


def _florence2(
    loaded: Loaded, picture: Any, question: str, beams: int, max_words: int, prompt: str
) -> Generator[Progress | Partial, None, decoding.Written]:
    """Florence-2, whose questions are tokens that name a task. Source: Xiao et al., Florence-2, 2023."""
    batch = decoding.to_device(loaded, loaded.processor(images=picture, text=question, return_tensors="pt"))
    if prompt:
        begun = loaded.tokenizer(prompt, return_tensors="pt").input_ids[:, :-1]  # without its end
        start = torch.tensor([[loaded.model.generation_config.decoder_start_token_id]])
        batch["decoder_input_ids"] = torch.cat([start, begun], dim=1).to(loaded.device.kind)
    return (yield from decoding.write(loaded, batch, max_words=max_words, beams=beams, prefix=prompt))


FAMILIES = {"chat": _chat, "blip": _blip, "florence2": _florence2}
