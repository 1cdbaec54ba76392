"""The Caption tab: a sentence about a photo."""

import html
from collections.abc import Iterator
from typing import Any

import gradio as gr

from pipelines.errors import text
from pipelines.results import Caption, Partial
from ui import jobs, parts


def build(owner: gr.BrowserState, chosen: str | None) -> parts.Tab:
    """Draws the tab."""
    frame = parts.Frame("caption", owner, chosen)
    with gr.Row(equal_height=False):
        with gr.Column():
            photo = parts.photo(frame)
            filled = parts.photo_examples(frame, lambda index: parts.examples()[index], [photo])
            frame.draw_actions()
            frame.draw_model()
            with gr.Accordion(text("page.options"), open=False):
                beams = gr.Slider(1, 8, 1, step=1, label=text("caption.beams"), info=text("caption.beams_info"))
                max_words = gr.Slider(5, 100, 30, step=1, label=text("caption.max_words"))
                prompt = gr.Textbox("", label=text("caption.prompt"), max_lines=1)
        with gr.Column(elem_classes="card"):
            frame.status.render()
            written = gr.HTML(
                parts.empty(text("caption.empty")), elem_id="caption-result", elem_classes="result", padding=False
            )
            frame.made.render()
            send = parts.send_row("caption")

    def show(snapshot: jobs.Snapshot) -> parts.Updates:
        if isinstance(snapshot.result, Caption):
            result = snapshot.result
            sure = parts.line(text("page.confidence", confidence=parts.percent(result.confidence)))
            return {written: _sentence(result.text, result.words) + sure + parts.line(text("page.marked"))}
        if isinstance(snapshot.event, Partial):
            return {written: _sentence(snapshot.event.text, snapshot.event.words)}
        return {}

    def run(
        owner: str | None, before: str | None, photo: str | None, beams: int, max_words: int, prompt: str, model: str
    ) -> Iterator[parts.Updates]:
        yield from frame.start(
            owner, before, show, photo=photo, model=model, beams=int(beams), max_words=int(max_words), prompt=prompt
        )

    def resume(owner: str | None, job: str | None) -> Iterator[parts.Updates]:
        yield from frame.follow(owner, job, show)

    values = [photo, beams, max_words, prompt, frame.model]
    frame.listen([frame.run.click, prompt.submit], filled, run, values, [written])
    return parts.Tab(frame, resume, [written], picture=photo, send=send, target=photo)


def _sentence(whole: str, words: tuple[Any, ...]) -> str:
    """The words marked, after what the visitor gave as the beginning."""
    own = " ".join(word.text for word in words)
    prefix = whole[: len(whole) - len(own)] if whole.endswith(own) else ""
    return f'<p class="said">{html.escape(prefix)}{parts.words(words)}</p>'
