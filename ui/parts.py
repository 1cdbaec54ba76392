"""What the tabs share: photo input, model choice, run and stop, the status line, and how a job is shown."""

import contextlib
import html
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines import address, catalog, inputs
from pipelines.errors import UserError, text
from pipelines.results import Partial, Progress, Result, Word
from ui import files, jobs
from ui.photo import Photo

ASSETS = catalog.ROOT / "assets"
WEB_FORMATS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif"}
UNSURE = 0.5  # a word or label less likely than this is marked
Updates = dict[Any, Any]


@dataclass(frozen=True)
class Frame:
    """The components that every tab has; `owner` is this browser's secret and `job` the id of its last job here."""

    task: str
    owner: gr.BrowserState
    job: gr.BrowserState
    model: gr.Dropdown
    run: gr.Button
    stop: gr.Button
    status: gr.HTML

    @property
    def outputs(self) -> list[Any]:
        return [self.job, self.run, self.stop, self.status]

    def start(self, owner: str | None, show: Callable[[jobs.Snapshot], Updates], **values: Any) -> Iterator[Updates]:
        """Starts a job and follows it: the handler of a Run button."""
        owner = owner or ""
        try:
            job_id = jobs.start(owner, self.task, **values)
        except UserError as error:
            yield self.idle(error.sentence())
            return
        yield {self.job: job_id}
        yield from self.follow(owner, job_id, show)

    def follow(
        self, owner: str | None, job_id: str | None, show: Callable[[jobs.Snapshot], Updates]
    ) -> Iterator[Updates]:
        """Shows a job until it is finished; after a reload, one that was started before."""
        if not job_id:
            yield self.idle()
            return
        try:
            for snapshot in jobs.watch(job_id, owner or ""):
                yield {
                    self.run: gr.update(interactive=snapshot.finished),
                    self.stop: gr.update(visible=not snapshot.finished),
                    self.status: status(snapshot),
                    **show(snapshot),
                }
        except UserError:
            yield self.idle()

    def idle(self, message: str = "") -> Updates:
        return {
            self.run: gr.update(interactive=True),
            self.stop: gr.update(visible=False),
            self.status: alert(message),
        }

    def listen(
        self,
        triggers: list[Any],
        examples: gr.Examples,
        handler: Callable[..., Iterator[Updates]],
        values: list[Any],
        outputs: list[Any],
    ) -> None:
        """Runs `handler(owner, *values)` on each trigger and after an example is filled in; Stop ends its job."""
        how: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None, "api_visibility": "private"}
        what = (handler, [self.owner, *values], [*self.outputs, *outputs])
        gr.on(triggers, *what, **how)
        examples.load_input_event.then(*what, **how)
        self.stop.click(_stop, [self.owner, self.job], None, **how)


def _stop(owner: str | None, job: str | None) -> None:
    with contextlib.suppress(UserError):  # it has ended and is no longer kept: nothing to stop
        jobs.stop(job or "", owner or "")


def frame(task: str, owner: gr.BrowserState, chosen: str | None, run_label: str) -> Frame:
    """Run and Stop, the status line and the model choice, in that order."""
    row = catalog.find(task, chosen)
    with gr.Row(elem_classes="actions"):
        run = gr.Button(run_label, variant="primary", elem_classes="run", elem_id=f"{task}-run")
        stop = gr.Button(text("page.stop"), variant="stop", visible=False, elem_id=f"{task}-stop")
    shown = gr.HTML(alert(""), elem_id=f"{task}-status", elem_classes="status-line")
    model = gr.Dropdown(
        [(_described(one), one.id) for one in catalog.rows(task)], value=row.id, label=text("page.model"),
        elem_id=f"{task}-model",
    )  # fmt: skip
    note = gr.Markdown(html.escape(row.note), elem_classes="note")
    model.change(
        lambda one: html.escape(catalog.find(task, one).note), model, note, show_progress="hidden",
        api_visibility="private",
    )  # fmt: skip
    return Frame(task, owner, gr.BrowserState(storage_key=f"quartet-{task}"), model, run, stop, shown)


def _described(row: catalog.Row) -> str:
    size = text("page.bundled") if row.bundled else f"{row.download_bytes / 1e9:.1f} GB"
    return f"{row.name} · {size} · {row.licence}"


def photo(task: str) -> Photo:
    """The photo input; what it can't read is said at once."""
    image = Photo(
        label=text("page.photo"),
        type="filepath",
        sources=["upload", "webcam", "clipboard"],
        height=260,
        buttons=["fullscreen"],
        elem_id=f"{task}-photo",
    )
    image.upload(_checked, image, image, show_progress="hidden", api_visibility="private")
    return image


def photo_address(task: str, image: Photo) -> None:
    """A field for the web address of a photo: Enter fetches it."""
    link = gr.Textbox(label=text("page.address"), placeholder="https://", max_lines=1, elem_id=f"{task}-address")
    link.submit(_fetched, link, image, api_visibility="private")


def _checked(path: str | None) -> Any:
    """Refuses at once what is no photo, and shows as PNG what a browser can't show (HEIC, TIFF)."""
    if path is None:
        return None
    try:
        picture = inputs.photo(path)
    except UserError as error:
        gr.Warning(error.sentence())
        return None
    return gr.skip() if Path(path).suffix.lower() in WEB_FORMATS else files.png(picture)


def _fetched(link: str) -> Any:
    try:
        return files.png(inputs.photo(address.fetch(link)))
    except UserError as error:
        gr.Warning(error.sentence())
        return gr.skip()


def new_owner(owner: str | None) -> str:
    """This browser's secret: kept if there is one, else 128 random bits."""
    return owner or secrets.token_urlsafe(16)


def examples() -> list[str]:
    """The example photos that ship, in the order of their names."""
    return sorted(str(path) for path in (ASSETS / "examples").glob("*.jpg"))


def alert(message: str) -> str:
    return f'<div class="status alert" role="alert">{html.escape(message)}</div>' if message else EMPTY


EMPTY = '<div class="status" role="status"></div>'


def status(snapshot: jobs.Snapshot) -> str:
    """The line that says how far the work is, why it failed, or how the result was made."""
    if snapshot.error:
        return alert(snapshot.error.sentence())
    if snapshot.result:
        return f'<div class="status made" role="status">{made(snapshot.result)}</div>'
    if snapshot.state == "stopped":
        return f'<div class="status" role="status">{html.escape(text("page.stopped"))}</div>'
    if snapshot.state == "waiting":
        sentence, done, total = text("progress.waiting", place=snapshot.place), 0, 0
    elif isinstance(snapshot.event, Progress):
        event = snapshot.event
        done, total = event.done, event.total
        sentence = text(f"progress.{event.code}", done=done, total=total, **event.values)
    elif isinstance(snapshot.event, Partial) and snapshot.event.steps:
        done, total = snapshot.event.step, snapshot.event.steps
        sentence = text("progress.drawing", done=done, total=total)
    elif isinstance(snapshot.event, Partial):
        sentence, done, total = text("progress.writing", done=len(snapshot.event.words)), 0, 0
    else:
        sentence, done, total = text("progress.starting"), 0, 0
    bar = f' value="{done}" max="{total}"' if total else ""
    return f'<div class="status" role="status"><span>{html.escape(sentence)}</span><progress{bar}></progress></div>'


def made(result: Result) -> str:
    """Model, device and seconds of a result, escaped."""
    return html.escape(
        text(
            "page.made",
            model=result.model,
            revision=result.revision,
            device=result.device,
            seconds=f"{result.seconds:.2f}",
        )
    )


def percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.1f} %"


def words(written: tuple[Word, ...]) -> str:
    """Words as HTML: the less certain ones marked, each with its probability and the other candidates on hover."""
    spans = []
    for word in written:
        others = ", ".join(f"{other} {percent(share)}" for other, share in word.others)
        title = f"{percent(word.probability)}" + (f" · {text('page.or_else')} {others}" if others else "")
        unsure = ' class="unsure"' if word.probability < UNSURE else ""
        spans.append(f'<span{unsure} title="{html.escape(title, quote=True)}">{html.escape(word.text)}</span>')
    return " ".join(spans)
