"""The Ask tab: a conversation about one photo."""

import html
from collections.abc import Iterator
from typing import Any

import gradio as gr

from pipelines.errors import text
from pipelines.results import Answer, Partial
from ui import jobs, parts
from ui.photo import Photo

Turns = list[list[str]]


def build(owner: gr.BrowserState, chosen: str | None) -> tuple[parts.Frame, Photo, Any]:
    """Draws the tab; returns its frame, its photo and what to call after a reload."""
    asked = gr.BrowserState("", storage_key="quartet-question")
    turns = gr.State([])
    with gr.Row():
        with gr.Column(scale=1):
            photo = parts.photo("ask")
            question = gr.Textbox(
                label=text("ask.question"), placeholder=text("ask.placeholder"), max_lines=1, elem_id="ask-question"
            )
            frame = parts.frame("ask", owner, chosen, text("ask.run"))
            with gr.Accordion(text("page.options"), open=False):
                max_words = gr.Slider(1, 100, 30, step=1, label=text("caption.max_words"))
                parts.photo_address("ask", photo)
        with gr.Column(scale=1):
            chat = gr.Chatbot(
                height=360, label=text("ask.conversation"), placeholder=text("ask.empty"), elem_id="ask-result",
                buttons=["copy"], sanitize_html=True,
            )  # fmt: skip
            detail = gr.HTML("", elem_id="ask-detail", elem_classes="result")
            again = gr.Button(text("ask.new"), size="sm", elem_id="ask-new")

    def shown(past: Turns, question: str, answer: str) -> list[dict[str, str]]:
        messages = []
        for asked_then, said in [*past, [question, answer]]:
            if asked_then:
                messages.append({"role": "user", "content": asked_then})
            if said:
                messages.append({"role": "assistant", "content": said})
        return messages

    def show_with(past: Turns, question_text: str) -> Any:
        def show(snapshot: jobs.Snapshot) -> parts.Updates:
            if isinstance(snapshot.result, Answer):
                result = snapshot.result
                return {
                    chat: shown(past, question_text, result.text or text("ask.no_answer")),
                    detail: _detail(result),
                    turns: [*past, [question_text, result.text]],
                }
            said = snapshot.event.text if isinstance(snapshot.event, Partial) else ""
            return {chat: shown(past, question_text, said)} if question_text else {}

        return show

    def run(
        owner: str | None, photo: str | None, question_text: str, past: Turns, max_words: int, model: str
    ) -> Iterator[parts.Updates]:
        question_text = question_text.strip()
        history = tuple((asked_then, said) for asked_then, said in past)
        started = False
        for updates in frame.start(
            owner, show_with(past, question_text), photo=photo, question=question_text, model=model,
            history=history, max_words=int(max_words),
        ):  # fmt: skip
            if not started and turns in updates:
                started = True
                updates |= {question: "", asked: question_text}
            yield updates

    follow_values = [photo, question, turns, max_words, frame.model]
    outputs = [chat, detail, turns, question, asked]
    pairs = [
        [path, asked_first]
        for path, asked_first in zip(parts.examples(), text("ask.example_questions").split("|") * 3, strict=False)
    ]
    ready = gr.Examples(
        pairs, [photo, question], label=text("page.examples"), examples_per_page=12, cache_examples=False,
        api_visibility="private",
    )  # fmt: skip
    
    frame.listen([frame.run.click, question.submit], ready, run, follow_values, outputs)
    gr.on(
        [again.click, photo.change], lambda: ([], [], ""), None, [chat, turns, detail], show_progress="hidden",
        api_visibility="private",
    )  # fmt: skip

    def resume(owner: str | None, job: str | None) -> Iterator[parts.Updates]:
        yield from frame.follow(owner, job, show_with([], ""))

    return frame, photo, (resume, outputs)


def _detail(result: Answer) -> str:
    sure = text("page.confidence", confidence=parts.percent(result.confidence))
    if result.confidence < parts.UNSURE:
        sure = f"{text('ask.not_sure')} {sure}"
    others = "".join(
        f'<div class="bar"><span class="name">{html.escape(other)}</span>'
        f'<span class="track"><span style="width:{100 * min(1.0, share):.1f}%"></span></span>'
        f'<span class="value">{parts.percent(share)}</span></div>'
        for other, share in result.others
    )
    title = f'<p class="made">{html.escape(text("ask.others"))}</p>' if others else ""
    return f'<p class="made">{html.escape(sure)}</p>{title}{others}'
