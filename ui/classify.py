"""The Classify tab: labels against a photo."""

import html
from collections.abc import Iterator
from typing import Any

import gradio as gr

from pipelines import inputs
from pipelines.errors import UserError, text, text_or
from pipelines.results import Classification
from ui import jobs, parts

LABELS = parts.ASSETS / "labels"
TEMPLATE = "a photo of a {}."


def build(owner: gr.BrowserState, chosen: str | None) -> parts.Tab:
    """Draws the tab."""
    frame = parts.Frame("classify", owner, chosen)
    first = text("classify.first_labels")
    frame.run.value = _run_label(text("classify.first_labels", "en"))
    with gr.Row(equal_height=False):
        with gr.Column():
            photo = parts.photo(frame)
            filled = parts.photo_examples(frame, lambda index: parts.examples()[index], [photo])
            labels = gr.Textbox(
                first, label=text("classify.labels"), info=text("classify.labels_info"), lines=2, max_lines=6,
                elem_id="classify-labels",
            )  # fmt: skip
            ready = gr.Dropdown(
                [
                    (text("classify.ready"), ""),
                    *((text_or(f"classify.lists.{name}", name), name) for name in sorted(p.stem for p in LABELS.glob("*.txt"))),
                ],
                value="", label=text("classify.ready"), show_label=False, container=False, elem_id="classify-ready",
            )  # fmt: skip
            frame.draw_actions()
            frame.draw_model()
            with gr.Accordion(text("page.options"), open=False, elem_id="classify-options"):
                top_k = gr.Slider(1, 50, 5, step=1, label=text("classify.top_k"))
                ensemble = gr.Checkbox(True, label=text("classify.ensemble"), info=text("classify.ensemble_info"))
                template = gr.Textbox(TEMPLATE, label=text("classify.template"), max_lines=1)
        with gr.Column(elem_classes="card"):
            frame.status.render()
            scores = gr.HTML(
                parts.empty(text("classify.empty")), elem_id="classify-result", elem_classes="result", padding=False
            )
            frame.made.render()
            send = parts.send_row("classify")

    def show(snapshot: jobs.Snapshot) -> parts.Updates:
        return {scores: _shown(snapshot.result)} if isinstance(snapshot.result, Classification) else {}

    def run(
        owner: str | None, before: str | None, photo: str | None, labels: str, top_k: int, ensemble: bool,
        template: str, model: str,
    ) -> Iterator[parts.Updates]:  # fmt: skip
        templates = None if ensemble else [template]
        yield from frame.start(
            owner, before, show, photo=photo, labels=labels, model=model, templates=templates, top_k=int(top_k)
        )

    def resume(owner: str | None, job: str | None) -> Iterator[parts.Updates]:
        yield from frame.follow(owner, job, show)

    values = [photo, labels, top_k, ensemble, template, frame.model]
    frame.listen([frame.run.click, template.submit], filled, run, values, [scores])
    # Who writes one means it; in the browser, since Enter may follow at once.
    template.change(
        None, [template, ensemble], ensemble, js=f"(now, all) => now === {TEMPLATE!r} && all", **parts.QUIET
    )
    ready.input(_ready, ready, labels, **parts.QUIET)
    labels.input(None, None, ready, js="() => ''", **parts.QUIET)  # labels of one's own are no list's
    labels.change(_run_label, labels, frame.run, trigger_mode="always_last", **parts.QUIET)
    return parts.Tab(frame, resume, [scores], picture=photo, send=send, target=photo)


def _ready(name: str) -> Any:
    return (LABELS / f"{name}.txt").read_text("utf-8").strip() if name and isinstance(name, str) else gr.skip()


def _run_label(labels: str) -> str:
    """The Run button says how many labels it will encode."""
    try:
        count = len(inputs.labels(labels)[0])
        return text("classify.run_many", count=f"{count:,}") if count > 1 else text("classify.run_one")
    except UserError:  # it is said when it runs
        return text("classify.run")


def _shown(result: Classification) -> str:
    best = result.top()
    sure = best[0].independent >= parts.UNSURE
    headline = best[0].label if sure else text("classify.not_sure", label=best[0].label)
    rows = "".join(parts.bar(score.label, score.probability) for score in best[: result.top_k])
    columns = ("label", "cosine", "probability", "independent")
    heads = "".join(
        f'<th title="{html.escape(text(f"classify.{name}_info"))}">{html.escape(text(f"classify.{name}"))}</th>'
        for name in columns
    )
    table = "".join(
        f"<tr><td>{html.escape(score.label)}</td><td>{score.cosine:z.3f}</td><td>{score.probability:.3f}</td>"
        f"<td>{score.independent:.3f}</td></tr>"
        for score in best
    )
    return (
        f'<h3 class="{"" if sure else "not-sure"}">{html.escape(headline)}</h3>{rows}'
        f"{''.join(map(parts.line, result.notes))}"
        f'<div class="table" tabindex="0"><table><thead><tr>{heads}</tr></thead><tbody>{table}</tbody></table></div>'
    )
