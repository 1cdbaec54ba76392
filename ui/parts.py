"""What the tabs share: photo input, model choice, run and stop, the status line, and how a job is shown."""

import contextlib
import html
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import PIL.Image

from pipelines import catalog, hub, inputs
from pipelines.errors import UserError, spoken, text
from pipelines.results import Answer, Caption, Classification, Partial, Progress, Result, Word
from ui import files, jobs
from ui.photo import Photo

ASSETS = catalog.ROOT / "assets"
WEB_FORMATS = {"JPEG", "PNG", "WEBP", "GIF", "AVIF"}  # what browsers show, where the file's name says so, too
WEB_NAMES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif"}
OWNER = 64  # characters of a browser's secret, at most: it is kept as long as its jobs are
UNSURE = 0.5  # a word or label less likely than this is marked
SCARCELY = 0.005  # a candidate less likely than this is named without a share
# How every handler of the page listens. The four public endpoints are those of `ui/api.py`.
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
WATCHING: dict[str, Any] = QUIET | {"concurrency_limit": None}  # a watcher only waits: `jobs` does the queueing

# Keeps this browser's secret, or makes one of 128 random bits: in the browser, where no answer can come too late.
NEW_OWNER = """(owner) => owner ||
  [...crypto.getRandomValues(new Uint8Array(16))].map((one) => one.toString(16).padStart(2, "0")).join("")"""

# What a job was started with comes back with its result after a reload, a photo only where its upload still is. Where nothing
# comes back the fields are skipped: their values of now would undo what is typed meanwhile.
KEEP = "(...fields) => [fields]"
RETURN = """async (kept, ...fields) => Promise.all(fields.map(async (_, i) => kept &&
  (!kept[i]?.url || (await fetch(kept[i].url, { method: "HEAD" })).ok) ? kept[i] : { __type__: "update" }))"""

Updates = dict[Any, Any]
Show = Callable[[jobs.Snapshot], Updates]


class Frame:
    """The components that every tab has, for the tab to place; `owner` is this browser's secret and `job` the id of its
    last job in this tab."""

    def __init__(self, task: str, owner: gr.BrowserState, chosen: str | None) -> None:
        row = catalog.find(task, chosen)
        self.task, self.owner, self.row = task, owner, row
        self.job = gr.BrowserState(storage_key=f"quartet-{task}", render=False)  # the page places it outside the tabs
        self.kept = gr.BrowserState(storage_key=f"quartet-{task}-fields", render=False)  # and this
        self.fields: list[Any] = []
        self.run = gr.Button(
            text(f"{task}.run"), variant="primary", elem_classes="run", elem_id=f"{task}-run", render=False
        )
        self.stop = gr.Button(
            text("page.stop"),
            interactive=False,
            elem_classes="halt",
            elem_id=f"{task}-stop",
            min_width=80,
            render=False,
        )
        self.model = gr.Dropdown(
            self.choices(), value=row.id, label=text("page.model"), info=_note(row),
            allow_custom_value=catalog.typing_allowed(), elem_id=f"{task}-model", render=False,
        )  # fmt: skip
        self.status = gr.HTML(idle(), elem_id=f"{task}-status", padding=False, render=False)
        self.made = gr.HTML(made(None), elem_id=f"{task}-made", padding=False, render=False)

    @property
    def outputs(self) -> list[Any]:
        return [self.owner, self.job, self.run, self.stop, self.status, self.made, self.model]

    def choices(self) -> list[tuple[str, str]]:
        """What the model choice offers: each model's name, size, licence, and whether it is on disk."""
        return [(_described(row), row.id) for row in catalog.rows(self.task)]

    def offered(self) -> Any:
        """The model choice in the language of whoever has just opened the page."""
        return gr.update(choices=self.choices(), info=_note(self.row))

    def draw_actions(self) -> None:
        with gr.Row(elem_classes="actions"):
            self.run.render()
            self.stop.render()

    def draw_model(self) -> None:
        self.model.render()
        asked = [self.model, gr.State(self.task), self.status]
        self.model.change(_noted, asked, [self.model, self.status], **WATCHING)

    def start(self, owner: str | None, before: str | None, show: Show, **values: Any) -> Iterator[Updates]:
        """Starts a job in place of this tab's job `before`, and follows it: the handler of a Run button."""
        owner = new_owner(owner)  # may be clicked before the page has made one
        forget(owner, before)
        try:
            job_id = jobs.start(owner, self.task, **values)
        except UserError as error:
            yield self.idle(error.sentence())
            return
        yield {self.owner: owner, self.job: job_id}
        yield from self.follow(owner, job_id, show, values.get("photo"))

    def follow(self, owner: str | None, job_id: str | None, show: Show, photo: str | None = None) -> Iterator[Updates]:
        """Shows a job, about a photo, until it is finished; after a reload, one that was started before."""
        if not job_id:  # nothing to find; the status line stays, since a visitor may be told something there already
            yield {self.run: gr.update(interactive=True)}
            return
        found = False
        try:
            for snapshot in jobs.watch(job_id, owner or ""):
                found = True
                updates = {
                    self.run: gr.update(interactive=snapshot.finished),
                    self.stop: gr.update(interactive=not snapshot.finished),
                    self.status: status(snapshot),
                }
                if snapshot.result or isinstance(snapshot.event, Partial):  # till then the result before stays
                    updates[self.made] = made(snapshot.result, photo)
                if snapshot.finished:  # it may have fetched one
                    updates[self.model] = gr.update(choices=self.choices())
                yield updates | show(snapshot)
        except UserError:
            if not found:  # else it was forgotten just now, by what shows itself in its place
                yield self.idle()

    def idle(self, message: str = "") -> Updates:
        return {
            self.run: gr.update(interactive=True),
            self.stop: gr.update(interactive=False),
            self.status: alert(message),
        }

    def listen(
        self,
        triggers: list[Any],
        filled: Any,
        handler: Callable[..., Iterator[Updates]],
        values: list[Any],
        outputs: list[Any],
        fields: list[Any] | None = None,
    ) -> None:
        """Runs `handler(owner, job, *values)` on each trigger and after an example is `filled` in, even while another one runs;
        Stop ends it. After a reload the `fields` come back as they were when it began, or else all values."""
        self.fields = values if fields is None else fields
        what = (handler, [self.owner, self.job, *values], [*self.outputs, *outputs])
        for listen, mode in ((partial(gr.on, triggers), "once"), (filled.then, "multiple")):
            # Kept first: what is listed behind a run waits for its end.
            listen(None, self.fields, self.kept, js=KEEP, **QUIET)
            listen(*what, trigger_mode=mode, **WATCHING)
        self.stop.click(_stop, [self.owner, self.job], None, **WATCHING)


@dataclass(frozen=True)
class Tab:
    """A tab that is drawn: `resume(owner, job, *resume_values)` shows its last job again after a reload; `picture`
    holds the path that "Send to" sends, `target` takes what is sent here."""

    frame: Frame
    resume: Callable[..., Iterator[Updates]]
    outputs: list[Any]
    picture: Any
    send: dict[str, gr.Button]
    target: Photo | None = None
    resume_values: list[Any] = field(default_factory=list)


def _stop(owner: str | None, job: str | None) -> None:
    with contextlib.suppress(UserError):  # it has ended and is no longer kept: nothing to stop
        jobs.stop(job or "", owner or "")


def forget(owner: str | None, job: str | None) -> None:
    """Ends a job whose result nobody wants any longer."""
    with contextlib.suppress(UserError):
        jobs.forget(job or "", owner or "")


def _noted(model: str, task: str, said: str) -> tuple[Any, Any]:
    """What is to know of the chosen model; in the status line, why a name that was typed in can't be used, until another one
    is chosen."""
    try:
        noted = gr.update(info=_note(catalog.find(task, model)))
        return noted, idle() if 'role="alert"' in said else gr.skip()
    except UserError as error:
        return gr.update(info=text("page.model_typed")), alert(error.sentence())


def _note(row: catalog.Row) -> str:
    note = row.notes.get(spoken(), row.note)
    note = note if row in catalog.rows() else f"{_described(row)}. {note}"
    return joined(note, text("page.model_typed")) if catalog.typing_allowed() else note


def _described(row: catalog.Row) -> str:
    count = f"{row.parameters / 1e6:.0f} M" if row.parameters < 1e9 else f"{row.parameters / 1e9:.1f} B"
    load = catalog.size(row.download_bytes) if row.from_hub else text("page.bundled")
    if row.from_hub and hub.on_disk(row):
        load = text("page.on_disk", size=load)
    return f"{row.name} · {count} · {load} · {row.licence}"


def photo(frame: Frame) -> Photo:
    """The photo input, with a field for a web address; what it can't read is said at once."""
    image = Photo(
        label=text("page.photo"),
        show_label=False,  # it would stand on the photo
        type="filepath",
        sources=["upload", "webcam", "clipboard"],
        height=250,
        buttons=["fullscreen"],
        placeholder=text("page.photo_placeholder"),
        elem_id=f"{frame.task}-photo",
    )
    link = gr.Textbox(
        show_label=False, label=text("page.address"), placeholder=text("page.address"), max_lines=1, container=False,
        elem_id=f"{frame.task}-address", elem_classes="address",
    )  # fmt: skip
    image.upload(_checked, image, [image, frame.status], **QUIET)
    link.submit(_fetched, link, [image, frame.status], api_visibility="private")
    return image


def photo_examples(frame: Frame, fill: Callable[[int], Any], outputs: list[Any]) -> Any:
    """The example photos as a row of pictures; a click calls `fill(index)`. Returns that event, to run after it."""
    ready = gr.Dataset(
        components=[gr.Image(type="filepath", render=False)], samples=[[path] for path in examples()], type="index",
        layout="gallery", label=text("page.examples"), samples_per_page=100, elem_id=f"{frame.task}-examples",
        elem_classes="examples",
    )  # fmt: skip
    return ready.click(fill, ready, outputs, trigger_mode="multiple", **QUIET)


def send_row(task: str) -> dict[str, gr.Button]:
    """A button to each other tab that takes a photo."""
    with gr.Row(elem_classes="send"):
        gr.HTML(f"<span>{html.escape(text('page.send_to'))}</span>", elem_classes="send-label", padding=False)
        return {
            other: gr.Button(text(f"{other}.tab"), size="sm", elem_id=f"{task}-send-{other}", min_width=60)
            for other in ("classify", "caption", "ask")
            if other != task
        }


def _checked(path: str | None) -> tuple[Any, Any]:
    """Refuses at once what is no photo, and shows as PNG what a browser can't show (HEIC, TIFF)."""
    if path is None:
        return gr.skip(), idle()
    try:
        picture = inputs.photo(path)
    except UserError as error:
        return None, alert(error.sentence())
    with PIL.Image.open(path) as opened:
        shown = opened.format in WEB_FORMATS and Path(path).suffix.lower() in WEB_NAMES
    return gr.skip() if shown else files.png(picture), idle()


def _fetched(link: str) -> tuple[Any, Any]:
    if not link.strip():
        return gr.skip(), gr.skip()
    try:
        return files.fetched(link), idle()
    except UserError as error:
        return gr.skip(), alert(error.sentence())


def new_owner(owner: str | None) -> str:
    """This browser's secret: kept if there is one, else 128 random bits."""
    return owner if isinstance(owner, str) and 0 < len(owner) <= OWNER else secrets.token_urlsafe(16)


def examples() -> list[str]:
    """The example photos that ship, in the order of their names."""
    return sorted(str(path) for path in (ASSETS / "examples").glob("*.jpg"))


def empty(sentence: str) -> str:
    return f'<div class="empty">{html.escape(sentence)}</div>'


def line(sentence: str) -> str:
    return f'<p class="fine">{html.escape(sentence)}</p>'


def alert(message: str) -> str:
    return f'<div class="status alert" role="alert">{html.escape(message)}</div>' if message else idle()


def said(sentence: str, after: str = "") -> str:
    """A calm sentence in the status line, and the HTML after it."""
    return f'<div class="status" role="status"><span>{html.escape(sentence)}</span>{after}</div>'


def idle() -> str:
    """The status line where there is nothing to say."""
    return said(text("page.result"))


def status(snapshot: jobs.Snapshot) -> str:
    """The line over the result that says how far the work is, or why it failed."""
    if snapshot.error:
        return alert(snapshot.error.sentence())
    if snapshot.state == "stopped":
        return said(text("page.stopped"))
    if snapshot.result:
        return said(text("page.result"), f'<span class="heard">{html.escape(_heard(snapshot.result))}</span>')
    done = total = 0
    if snapshot.state == "waiting":
        sentence = text("progress.waiting", place=snapshot.place)
    elif isinstance(snapshot.event, Progress):
        event = snapshot.event
        done, total = event.done, event.total
        sentence = text(f"progress.{event.code}", done=done, total=total, **event.values)
    elif isinstance(snapshot.event, Partial) and snapshot.event.steps:
        step = snapshot.event
        done, total = step.step, step.steps
        which = 1 + len(step.finished.pictures if step.finished else ())
        code = "progress.drawing_one" if step.pictures > 1 else "progress.drawing"
        sentence = text(code, picture=which, pictures=step.pictures, done=done, total=total)
    elif isinstance(snapshot.event, Partial):
        sentence = text("progress.writing", done=len(snapshot.event.words))
    else:
        sentence = text("progress.starting")
    inner = f' style="width:{100 * done / total:.0f}%"' if total else ' class="unknown"'
    return said(sentence, f'<div class="progress"><span{inner}></span></div>')


def _heard(result: Result) -> str:
    """What a screen reader says when a result is there; answers stand in a log, which it reads anyway."""
    if isinstance(result, Classification):
        best = result.top(1)[0]
        return f"{best.label}: {percent(best.probability)}"
    return result.text if isinstance(result, Caption) and not isinstance(result, Answer) else ""


def made(result: Result | None, photo: str | None = None) -> str:
    """The line under a result: model, device and seconds. Of a result about a `photo` (its path) it says in which folder of
    the server's the photo is: by that the page sees when another one has taken its place."""
    if result is None:
        return line("")
    about = (
        f'<p class="old" data-photo="{html.escape(Path(photo).parent.name)}">{text("page.old")}</p>' if photo else ""
    )
    return about + line(
        text(
            "page.made",
            model=result.model,
            revision=text("page.bundled") if result.revision == "bundled" else result.revision,
            device=result.device,
            seconds=f"{result.seconds:.2f}",
        )
    )


def joined(first: str, second: str) -> str:
    """Two sentences, with a space between them where their language has one."""
    return f"{first}{'' if first.endswith('。') else ' '}{second}"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0995 or share == 0 else f"{100 * share:.1f} %"


def bar(name: str, share: float) -> str:
    """A name, a bar and a percentage, as HTML."""
    return (
        f'<div class="bar"><span class="name">{html.escape(name)}</span>'
        f'<span class="track"><span style="width:{100 * min(1.0, share):.1f}%"></span></span>'
        f'<span class="value">{percent(share)}</span></div>'
    )


def words(written: tuple[Word, ...]) -> str:
    """Words as HTML: the less certain ones marked, each with its probability and the other candidates on hover."""
    spans = []
    for word in written:
        title = f"{percent(word.probability)}" + (f" · {_or_else(word)}" if word.others else "")
        unsure = ' class="unsure"' if word.probability < UNSURE else ""
        spans.append(f'<span{unsure} title="{html.escape(title, quote=True)}">{html.escape(word.text)}</span>')
    return " ".join(spans)


def word_by_word(written: tuple[Word, ...]) -> str:
    """The same for those who can't hover: each word with a bar, and under the less certain ones the other candidates."""
    rows = "".join(
        bar(word.text, word.probability) + (line(_or_else(word)) if word.others and word.probability < UNSURE else "")
        for word in written
    )
    return f'<details><summary class="fine">{text("page.word_by_word")}</summary>{rows}</details>'


def _or_else(word: Word) -> str:
    """The other candidates; the hardly likely ones without their shares."""
    named = (f"{other} {percent(share)}" if share >= SCARCELY else other for other, share in word.others)
    return f"{text('page.or_else')} " + ", ".join(named)
