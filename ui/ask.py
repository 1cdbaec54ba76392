"""The Ask tab: a conversation about one photo."""

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines import glossary
from pipelines.errors import spoken, text, text_or
from pipelines.results import Answer, Partial
from ui import jobs, parts

Talk = dict[str, Any]  # "photo": which photo it is about; "pairs": [question, answer], "" where none has come yet
# Takes the last question out of where it was typed, and leaves what has been typed behind it since; in the page itself, where
# no key comes between reading and writing.
TAKEN = """(talk) => {
  const box = document.querySelector("#ask-question input"), asked = talk?.pairs?.at(-1)?.[0];
  if (!asked || !box?.value.trimStart().startsWith(asked)) return;
  box.value = box.value.trimStart().slice(asked.length).trimStart();
  box.dispatchEvent(new Event("input", { bubbles: true }));
}"""
SILENCE: Talk = {"photo": None, "pairs": []}


def build(owner: gr.BrowserState, chosen: str | None) -> parts.Tab:
    """Draws the tab. The conversation is kept in the browser and never on the server."""
    frame = parts.Frame("ask", owner, chosen)
    talk = gr.BrowserState(SILENCE, storage_key="quartet-talk", render=False)
    with gr.Row(equal_height=False):
        with gr.Column():
            photo = parts.photo(frame)
            question = gr.Textbox(
                label=text("ask.question"), placeholder=text("ask.placeholder"), max_lines=1, elem_id="ask-question",
                render=False,
            )  # fmt: skip
            filled = parts.photo_examples(frame, _example, [photo, question])
            question.render()
            frame.draw_actions()
            frame.draw_model()
            with gr.Accordion(text("page.options"), open=False, elem_id="ask-options"):
                max_words = gr.Slider(1, 100, 30, step=1, label=text("caption.max_words"))
        with gr.Column(elem_classes="card"):
            frame.status.render()
            chat = gr.Chatbot(
                height=300, label=text("ask.conversation"), show_label=False, placeholder=text("ask.empty"),
                elem_id="ask-result", buttons=[], render_markdown=False, latex_delimiters=[], container=False,
            )  # fmt: skip
            detail = gr.HTML("", elem_id="ask-detail", elem_classes="result", padding=False)
            frame.made.render()
            again = gr.Button(text("ask.new"), size="sm", elem_id="ask-new")
            send = parts.send_row("ask")

    def showing(about: str | None, past: list[list[str]], asked: str) -> parts.Show:
        """How a job that answers `asked` after `past` is shown."""

        def show(snapshot: jobs.Snapshot) -> parts.Updates:
            if isinstance(snapshot.result, Answer):
                pairs = [*past, [asked, snapshot.result.text or text("ask.no_answer")]]
                kept = {"photo": about, "pairs": pairs}
                return {chat: _messages(pairs), detail: _detail(snapshot.result), talk: kept}
            if snapshot.finished:  # without an answer: the question goes back to where it was typed
                return {chat: _messages(past), talk: {"photo": about, "pairs": past}, question: asked}
            if not isinstance(snapshot.event, Partial):  # what is told of the answer before stays till this one comes
                return {chat: _messages([*past, [asked, ""]])}
            return {chat: _messages([*past, [asked, snapshot.event.text]]), detail: ""}

        return show

    def explained(snapshot: jobs.Snapshot) -> parts.Updates:
        return {detail: _detail(snapshot.result)} if isinstance(snapshot.result, Answer) else {}

    def run(
        owner: str | None, before: str | None, photo: str | None, asked: str, talk_now: Talk, max_words: int, model: str
    ) -> Iterator[parts.Updates]:
        same = talk_now["photo"] == photo
        past = _answered(talk_now) if same else []
        asked = asked.strip()
        for updates in frame.start(
            owner, before, showing(photo, past, asked), photo=photo, question=asked, model=model,
            history=tuple(map(tuple, past)), max_words=int(max_words),
        ):  # fmt: skip
            if frame.job in updates:  # it has started
                updates[talk] = {"photo": photo, "pairs": [*past, [asked, ""]]}
                if not same:
                    updates |= {detail: "", frame.made: parts.made(None)}
            yield updates

    def resume(owner: str | None, job: str | None, talk_now: Talk) -> Iterator[parts.Updates]:
        past, pairs = _answered(talk_now), talk_now["pairs"]
        yield {chat: _messages(past)}
        if past == pairs:  # the job is of the last answer, or of a question that got none
            yield from frame.follow(owner, job if pairs else None, explained)
            return
        about, asked, found = talk_now["photo"], pairs[-1][0], False
        for updates in frame.follow(owner, job, showing(about, past, asked)):
            found |= chat in updates
            yield updates
        if not found:  # the job is no longer kept
            yield {question: asked, talk: {"photo": about, "pairs": past}}

    def silence(owner: str | None, job: str | None) -> parts.Updates:
        parts.forget(owner, job)
        return {chat: [], detail: "", frame.made: parts.made(None), talk: SILENCE, **frame.idle()}

    def anew(owner: str | None, job: str | None, photo: str | None, talk_now: Talk, typed: str) -> parts.Updates:
        """Another photo, another conversation; a question that waits for its answer goes back to where it was typed."""
        same = photo is None or photo == talk_now["photo"]
        if same or not talk_now["photo"]:
            return {talk: gr.skip()}
        asked, answer = (talk_now["pairs"] or [["", ""]])[-1]
        silent = silence(owner, job)
        if answer:  # nothing waits: the status line may be another job's already
            return {part: silent[part] for part in told}
        return silent | ({question: asked} if asked and not typed else {})

    outputs = [chat, detail, talk, question]
    frame.listen(
        [frame.run.click, question.submit], filled, run, [photo, question, talk, max_words, frame.model], outputs,
        fields=[photo, max_words, frame.model],
    )  # fmt: skip
    talk.change(None, talk, None, js=TAKEN, **parts.QUIET)
    told = [chat, detail, frame.made, talk]
    ended = [*told, frame.run, frame.stop, frame.status]
    photo.change(anew, [owner, frame.job, photo, talk, question], [*ended, question], **parts.QUIET)
    gr.on([again.click, chat.clear], silence, [owner, frame.job], ended, **parts.QUIET)
    return parts.Tab(frame, resume, outputs, picture=photo, send=send, target=photo, resume_values=[talk])


def _example(index: int) -> tuple[str, str]:
    path = parts.examples()[index]
    return path, text_or(f"ask.examples.{Path(path).stem}", text("ask.placeholder"))


def _answered(talk: Talk) -> list[list[str]]:
    """The pairs of question and answer, without a question that waits for its answer."""
    return [pair for pair in talk["pairs"] if all(pair)]


def _messages(pairs: list[list[str]]) -> list[dict[str, str]]:
    said = [("user", asked, "assistant", _glossed(answer)) for asked, answer in pairs]
    both = [part for first, asked, second, answer in said for part in ((first, asked), (second, answer))]
    return [{"role": role, "content": html.escape(content, quote=False)} for role, content in both if content]


def _glossed(answer: str) -> str:
    """An answer, for who reads Chinese with the word for it, where the list has one."""
    word = glossary.back(answer) if spoken() == "zh" else ""
    return f"{answer}（{word}）" if word else answer


def _detail(result: Answer) -> str:
    sure = text("page.confidence", confidence=parts.percent(result.confidence))
    if result.confidence < parts.UNSURE:
        sure = parts.joined(text("ask.not_sure"), sure)
    others = "".join(parts.bar(other, share) for other, share in result.others)
    return "".join(map(parts.line, [sure, *result.notes])) + (parts.line(text("ask.others")) + others if others else "")
