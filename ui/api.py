"""The four tasks over HTTP and MCP: /classify, /caption, /ask and /generate, with the arguments of the pipelines."""

from dataclasses import asdict
from inspect import signature
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from pipelines.errors import UserError
from pipelines.results import Classification, Pictures, Result
from ui import files, jobs

CAT = "assets/examples/cat.jpg"
EXAMPLES: dict[str, Any] = {
    "photo": {"path": CAT, "url": CAT, "meta": {"_type": "gradio.FileData"}},
    "labels": ["a cat", "a dog"],
    "question": "What animal is this?",
    "prompt": "a red apple",
}


def classify(
    photo: gr.FileData,
    labels: list[str],
    model: str | None = None,
    templates: list[str] | None = None,
    top_k: int | None = None,
    request: gr.Request | None = None,
) -> dict:
    """Score text labels for a photo by the cosine similarity of CLIP embeddings (zero-shot classification).

    Args:
        photo: the photo, an uploaded file or the web address of one
        labels: 1 to 1,000 labels
        model: a catalogue id; leave out for the default
        templates: prompt templates with {} where the label goes; leave out for the model's own
        top_k: how many of the best labels to return; leave out for all
    """
    result = _finish(
        request, "classify", photo=_path(photo), labels=labels, model=model, templates=templates, top_k=top_k
    )
    assert isinstance(result, Classification)
    plain = {name: getattr(result, name) for name in ("model", "revision", "device", "seconds", "notes")}
    return plain | {"scores": [asdict(score) for score in result.top(result.top_k)]}


def caption(
    photo: gr.FileData,
    model: str | None = None,
    beams: int = 1,
    max_words: int = 30,
    prompt: str = "",
    detail: str = "short",
    request: gr.Request | None = None,
) -> dict:
    """Describe a photo in a sentence, with the probability of each word.

    Args:
        photo: the photo, an uploaded file or the web address of one
        model: a catalogue id; leave out for the default
        beams: beam width, 1 to 8
        max_words: 1 to 200
        prompt: words that the caption starts with
        detail: short, detailed or more, where the model can
    """
    result = _finish(
        request, "caption", photo=_path(photo), model=model, beams=beams, max_words=max_words, prompt=prompt,
        detail=detail,
    )  # fmt: skip
    return asdict(result)


def ask(
    photo: gr.FileData,
    question: str,
    model: str | None = None,
    history: list[list[str]] | None = None,
    max_words: int = 30,
    request: gr.Request | None = None,
) -> dict:
    """Answer a question about a photo, with its confidence and other answers.

    Args:
        photo: the photo, an uploaded file or the web address of one
        question: the question, 1 to 2,000 characters
        model: a catalogue id; leave out for the default
        history: the [question, answer] pairs so far, oldest first
        max_words: 1 to 200
    """
    return asdict(
        _finish(
            request,
            "ask",
            photo=_path(photo),
            question=question,
            model=model,
            history=history or (),
            max_words=max_words,
        )
    )


def generate(
    prompt: str,
    model: str | None = None,
    negative: str = "",
    seed: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    width: int | None = None,
    height: int | None = None,
    count: int = 1,
    request: gr.Request | None = None,
) -> dict:
    """Draw pictures from a prompt; each PNG carries the recipe that makes it again.

    Args:
        prompt: what to draw, 1 to 2,000 characters
        model: a catalogue id; leave out for the default
        negative: what to keep out of the picture
        seed: 0 to 2**64 - 1, as text so that all digits survive; leave out for a random one
        steps: denoising steps; leave out for what the model wants
        guidance: how closely to follow the prompt; leave out for what the model wants
        width: pixels; leave out for what the model wants
        height: pixels; leave out for what the model wants
        count: how many pictures, 1 to 8
    """
    result = _finish(
        request,
        "generate",
        prompt=prompt,
        model=model,
        negative=negative,
        seed=seed,
        steps=steps,
        guidance=guidance,
        width=width,
        height=height,
        count=count,
    )
    assert isinstance(result, Pictures)
    plain = {name: getattr(result, name) for name in ("model", "revision", "device", "seconds", "notes", "recipes")}
    paths = [files.png(*pair) for pair in zip(result.pictures, result.recipes, strict=True)]
    pictures = [gr.FileData(path=path, mime_type="image/png").model_dump() for path in paths]
    return plain | {"seeds": [str(seed) for seed in result.seeds], "pictures": pictures}


def endpoints(page: gr.Blocks) -> None:
    """Adds the four endpoints to the page that is being built. What it documents of them runs as it stands there."""
    for function in (classify, caption, ask, generate):
        gr.api(function, api_name=function.__name__, concurrency_limit=None)
        *_, endpoint = page.fns.values()
        for component, one in zip(endpoint.inputs, signature(function).parameters.values(), strict=False):
            shown = EXAMPLES[one.name] if one.default is one.empty else one.default
            component.example_payload = lambda shown=shown: shown


def _finish(request: gr.Request | None, task: str, **values: Any) -> Result:
    """Runs a job to its end, or until nobody waits for it any longer, and returns its result; a mistake of the caller's is a
    `gr.Error` with its sentence."""
    owner = f"api-{request.session_hash}" if request else "api"
    try:
        job = jobs.start(owner, task, **values)
        last = jobs.Snapshot("waiting")
        for last in jobs.watch(job, owner):  # noqa: B007 - only the last one counts
            if not _awaited():
                jobs.stop(job, owner)
        jobs.forget(job, owner)
        if last.result is None or last.state != "done":
            raise last.error or UserError("stopped")
        return last.result
    except UserError as error:
        raise gr.Error(error.sentence(), print_exception=False) from error


def _awaited() -> bool:
    """Whether somebody still waits for the event that is handled here: Gradio's queue drops those that were cancelled and
    marks those whose client went away, but tells only generators of it."""
    page, event = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    if page is None or event is None:
        return True
    running = (one for batch in page._queue.active_jobs if batch for one in batch)
    return any(one._id == event and one.alive for one in running)


def _path(photo: Any) -> str:
    """The path of an uploaded file; Gradio has checked that it lies in its upload folder (`page.Page`)."""
    path = photo.get("path") if isinstance(photo, dict) else getattr(photo, "path", None)
    if not isinstance(path, str):
        raise gr.Error(UserError("photo_missing").sentence(), print_exception=False)
    return path
