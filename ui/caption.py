"""The Caption tab: a sentence about a photo."""

import html
from collections.abc import Iterator
from typing import Any

import gradio as gr

from pipelines.errors import text
from pipelines.results import Caption, Partial
from ui import jobs, parts
from ui.photo import Photo


def build(owner: gr.BrowserState, chosen: str | None) -> tuple[parts.Frame, Photo, Any]:
    """Draws the tab; returns its frame, its photo and what to call after a reload."""
    with gr.Row():
        with gr.Column(scale=1):
            photo = parts.photo("caption")
            frame = parts.frame("caption", owner, chosen, text("caption.run"))
            with gr.Accordion(text("page.options"), open=False):
                beams = gr.Slider(1, 8, 1, step=1, label=text("caption.beams"), info=text("caption.beams_info"))
                max_words = gr.Slider(5, 100, 30, step=1, label=text("caption.max_words"))
                prompt = gr.Textbox("", label=text("caption.prompt"), max_lines=1)
                parts.photo_address("caption", photo)
        with gr.Column(scale=1):
            written = gr.HTML(
                f'<div class="empty">{html.escape(text("caption.empty"))}</div>', elem_id="caption-result",
                elem_classes="result",
            )  # fmt: skip

    def show(snapshot: jobs.Snapshot) -> parts.Updates:
        if isinstance(snapshot.result, Caption):
            result = snapshot.result
            sure = html.escape(text("page.confidence", confidence=parts.percent(result.confidence)))
            return {
                written: f'<p class="said">{_with_prefix(result.text, result.words)}</p><p class="made">{sure}</p>'
                f'<p class="made">{html.escape(text("page.marked"))}</p>'
            }
        if isinstance(snapshot.event, Partial):
            return {written: f'<p class="said">{_with_prefix(snapshot.event.text, snapshot.event.words)}</p>'}
        return {}

    def run(
        owner: str | None, photo: str | None, beams: int, max_words: int, prompt: str, model: str
    ) -> Iterator[parts.Updates]:
        yield from frame.start(
            owner, show, photo=photo, model=model, beams=int(beams), max_words=int(max_words), prompt=prompt
        )

    shown = gr.Examples(
        parts.examples(), photo, label=text("page.examples"), examples_per_page=12, cache_examples=False,
        api_visibility="private",
    )  # fmt: skip
    values = [photo, beams, max_words, prompt, frame.model]
    frame.listen([frame.run.click, prompt.submit], shown, run, values, [written])

    def resume(owner: str | None, job: str | None) -> Iterator[parts.Updates]:
        yield from frame.follow(owner, job, show)

    return frame, photo, (resume, [written])


def _with_prefix(whole: str, words: tuple[Any, ...]) -> str:
    """The words marked, after what the visitor gave as the beginning."""
    own = " ".join(word.text for word in words)
    prefix = whole[: len(whole) - len(own)] if whole.endswith(own) else ""
    return html.escape(prefix) + parts.words(words)
