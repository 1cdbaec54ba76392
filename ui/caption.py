"""The Caption tab: a sentence about a photo."""

import html
from collections.abc import Iterator
from typing import Any

import gradio as gr

from pipelines import catalog
from pipelines.errors import text
from pipelines.results import Caption, Partial
from ui import jobs, parts

WORDS = {"short": 30, "detailed": 60, "more": 100}  # how many words a caption of each kind may need


def build(owner: gr.BrowserState, chosen: str | None) -> parts.Tab:
    """Draws the tab."""
    frame = parts.Frame("caption", owner, chosen)
    with gr.Row(equal_height=False):
        with gr.Column():
            photo = parts.photo(frame)
            filled = parts.photo_examples(frame, lambda index: parts.examples()[index], [photo])
            frame.draw_actions()
            frame.draw_model()
            detail = gr.Radio(
                [(text(f"caption.details.{one}"), one) for one in WORDS], value="short", label=text("caption.detail"),
                visible=_detailed(frame.model.value), elem_id="caption-detail",
            )  # fmt: skip
            with gr.Accordion(text("page.options"), open=False, elem_id="caption-options"):
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
            fine = sure + parts.line(text("page.marked")) + parts.word_by_word(result.words)
            notes = "".join(map(parts.line, result.notes))
            return {written: _sentence(result.text, result.words) + notes + fine}
        if isinstance(snapshot.event, Partial):
            return {written: _sentence(snapshot.event.text, snapshot.event.words)}
        return {}

    def run(
        owner: str | None, before: str | None, photo: str | None, beams: int, max_words: int, prompt: str, detail: str,
        model: str,
    ) -> Iterator[parts.Updates]:  # fmt: skip
        yield from frame.start(
            owner, before, show, photo=photo, model=model, beams=int(beams), max_words=int(max_words), prompt=prompt,
            detail=detail,
        )  # fmt: skip

    def resume(owner: str | None, job: str | None) -> Iterator[parts.Updates]:
        yield from frame.follow(owner, job, show)

    values = [photo, beams, max_words, prompt, detail, frame.model]
    frame.listen([frame.run.click, prompt.submit], filled, run, values, [written])
    detail.change(WORDS.get, detail, max_words, **parts.QUIET)
    frame.model.change(_offer_details, frame.model, detail, **parts.QUIET)
    return parts.Tab(frame, resume, [written], picture=photo, send=send, target=photo)


def _detailed(model: str) -> bool:
    """Whether a model can write captions of more than one kind; one that is typed in can't."""
    return any(row.id == model and len(row.options.get("details", ())) > 1 for row in catalog.rows("caption"))


def _offer_details(model: str) -> Any:
    return gr.update(visible=True) if _detailed(model) else gr.update(visible=False, value="short")


def _sentence(whole: str, words: tuple[Any, ...]) -> str:
    """The words marked, after what the visitor gave as the beginning."""
    own = " ".join(word.text for word in words)
    prefix = whole[: len(whole) - len(own)] if whole.endswith(own) else ""
    return f'<p class="said">{html.escape(prefix)}{parts.words(words)}</p>'
