"""The Classify tab: labels against a photo."""

import html
from collections.abc import Iterator
from typing import Any

import gradio as gr

from pipelines.errors import text
from pipelines.results import Classification
from ui import jobs, parts
from ui.photo import Photo

FIRST_LABELS = "a cat, a dog, a person, a cup of coffee, a rocket, a street, a horse, food, a building, a flower"


def build(owner: gr.BrowserState, chosen: str | None) -> tuple[parts.Frame, Photo, Any]:
    """Draws the tab; returns its frame, its photo and what to call after a reload."""
    with gr.Row():
        with gr.Column(scale=1):
            photo = parts.photo("classify")
            labels = gr.Textbox(
                FIRST_LABELS, label=text("classify.labels"), info=text("classify.labels_info"), lines=2, max_lines=8,
                elem_id="classify-labels",
            )  # fmt: skip
            ready = gr.Dropdown(
                sorted(path.stem for path in (parts.ASSETS / "labels").glob("*.txt")),
                value=None, label=text("classify.ready"), elem_id="classify-ready",
            )  # fmt: skip
            frame = parts.frame("classify", owner, chosen, text("classify.run"))
            with gr.Accordion(text("page.options"), open=False):
                top_k = gr.Slider(1, 50, 5, step=1, label=text("classify.top_k"))
                ensemble = gr.Checkbox(True, label=text("classify.ensemble"), info=text("classify.ensemble_info"))
                template = gr.Textbox("a photo of a {}.", label=text("classify.template"), max_lines=1)
                parts.photo_address("classify", photo)
        with gr.Column(scale=1):
            bars = gr.HTML(_placeholder(), elem_id="classify-result", elem_classes="result")

    def show(snapshot: jobs.Snapshot) -> parts.Updates:
        return {bars: _shown(snapshot.result)} if isinstance(snapshot.result, Classification) else {}

    def run(
        owner: str | None, photo: str | None, labels: str, top_k: int, ensemble: bool, template: str, model: str
    ) -> Iterator[parts.Updates]:
        templates = None if ensemble else [template]
        yield from frame.start(
            owner, show, photo=photo, labels=labels, model=model, templates=templates, top_k=int(top_k)
        )

    outputs = [bars]
    values = [photo, labels, top_k, ensemble, template, frame.model]
    shown = gr.Examples(
        parts.examples(), photo, label=text("page.examples"), examples_per_page=12, cache_examples=False,
        api_visibility="private",
    )  # fmt: skip
    frame.listen([frame.run.click], shown, run, values, outputs)
    ready.change(_ready, ready, labels, show_progress="hidden", api_visibility="private")
    labels.change(_count, labels, frame.run, show_progress="hidden", api_visibility="private")

    def resume(owner: str | None, job: str | None) -> Iterator[parts.Updates]:
        yield from frame.follow(owner, job, show)

    return frame, photo, (resume, outputs)


def _ready(name: str | None) -> Any:
    return (parts.ASSETS / "labels" / f"{name}.txt").read_text("utf-8").strip() if name else gr.skip()


def _count(labels: str) -> Any:
    """The Run button says how many texts it will encode."""
    count = len([one for one in labels.replace(",", "\n").splitlines() if one.strip()])
    if "\n" in labels.strip():
        count = len([one for one in labels.splitlines() if one.strip()])
    return gr.update(value=text("classify.run_many", count=count) if count > 20 else text("classify.run"))


def _placeholder() -> str:
    return f'<div class="empty">{html.escape(text("classify.empty"))}</div>'


def _shown(result: Classification) -> str:
    best = result.top()
    first = best[0]
    sure = first.independent >= parts.UNSURE
    headline = first.label if sure else text("classify.not_sure", label=first.label)
    rows = "".join(
        f'<div class="bar"><span class="name">{html.escape(score.label)}</span>'
        f'<span class="track"><span style="width:{100 * score.probability:.1f}%"></span></span>'
        f'<span class="value">{parts.percent(score.probability)}</span></div>'
        for score in best[: result.top_k]
    )
    table = "".join(
        f"<tr><td>{html.escape(score.label)}</td><td>{score.cosine:.3f}</td><td>{score.probability:.3f}</td>"
        f"<td>{score.independent:.3f}</td></tr>"
        for score in best
    )
    heads = "".join(
        f'<th title="{html.escape(text(f"classify.{name}_info"), quote=True)}">{html.escape(text(f"classify.{name}"))}</th>'
        for name in ("label", "cosine", "probability", "independent")
    )
    notes = "".join(f'<p class="made">{html.escape(note)}</p>' for note in result.notes)
    return (
        f'<h3 class="{"" if sure else "unsure"}">{html.escape(headline)}</h3>{rows}{notes}'
        f'<div class="table"><table><thead><tr>{heads}</tr></thead><tbody>{table}</tbody></table></div>'
    )
