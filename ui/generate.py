"""The Generate tab: pictures from a prompt, with the recipe of each."""

import html
from collections.abc import Iterator
from typing import Any

import gradio as gr

from pipelines import catalog, inputs
from pipelines.errors import UserError, text
from pipelines.results import Partial, Pictures
from ui import files, jobs, parts


def build(owner: gr.BrowserState, chosen: str | None) -> tuple[parts.Frame, gr.Gallery, Any]:
    """Draws the tab; returns its frame, its gallery and what to call after a reload."""
    row = catalog.find("generate", chosen)
    want = row.defaults
    with gr.Row():
        with gr.Column(scale=1):
            prompt = gr.Textbox(
                label=text("generate.prompt"), placeholder=text("generate.placeholder"), lines=1, max_lines=4,
                elem_id="generate-prompt",
            )  # fmt: skip
            frame = parts.frame("generate", owner, chosen, text("generate.run"))
            with gr.Accordion(text("page.options"), open=False, elem_id="generate-options"):
                negative = gr.Textbox("", label=text("generate.negative"), max_lines=1, elem_id="generate-negative")
                seed = gr.Textbox(
                    "", label=text("generate.seed"), info=text("generate.seed_info"), max_lines=1,
                    elem_id="generate-seed",
                )  # fmt: skip
                steps = gr.Slider(1, 100, want["steps"], step=1, label=text("generate.steps"), elem_id="generate-steps")
                guidance = gr.Slider(
                    0, 20, want["guidance"], step=0.1, label=text("generate.guidance"),
                    info=text("generate.guidance_info"), elem_id="generate-guidance",
                )  # fmt: skip
                with gr.Row():
                    width = gr.Number(want["width"], label=text("generate.width"), precision=0, min_width=90)
                    height = gr.Number(want["height"], label=text("generate.height"), precision=0, min_width=90)
                    count = gr.Slider(1, 8, 1, step=1, label=text("generate.count"), min_width=140)
                recipe = gr.File(
                    label=text("generate.recipe"), file_types=[".png"], height=110, elem_id="generate-recipe"
                )
        with gr.Column(scale=1):
            preview = gr.Image(
                label=text("generate.preview"), height=380, visible=False, interactive=False, buttons=[],
                format="png", elem_id="generate-preview",
            )  # fmt: skip
            gallery = gr.Gallery(
                label=text("generate.pictures"), columns=2, height=380, object_fit="contain", type="filepath",
                format="png", interactive=False, buttons=["fullscreen"], elem_id="generate-result",
            )  # fmt: skip
            detail = gr.HTML("", elem_id="generate-detail", elem_classes="result")
            download = gr.DownloadButton(text("generate.download"), visible=False, elem_id="generate-download")

    def show(snapshot: jobs.Snapshot) -> parts.Updates:
        if isinstance(snapshot.result, Pictures):
            paths = [files.png(*pair) for pair in zip(snapshot.result.pictures, snapshot.result.recipes, strict=True)]
            return {
                preview: gr.update(visible=False),
                gallery: gr.update(value=paths, visible=True, columns=min(2, len(paths)), selected_index=0),
                detail: _detail(snapshot.result),
                download: gr.update(value=paths[0], visible=True),
            }
        if snapshot.finished:
            return {preview: gr.update(visible=False), gallery: gr.update(visible=True)}
        if isinstance(snapshot.event, Partial) and snapshot.event.picture is not None:
            return {preview: gr.update(value=snapshot.event.picture, visible=True), gallery: gr.update(visible=False)}
        return {}

    def run(
        owner: str | None,
        prompt: str,
        negative: str,
        seed: str,
        steps: float,
        guidance: float,
        width: float,
        height: float,
        count: float,
        model: str,
    ) -> Iterator[parts.Updates]:
        yield from frame.start(
            owner, show, prompt=prompt, model=model, negative=negative, seed=seed, steps=steps, guidance=guidance,
            width=width, height=height, count=count,
        )  # fmt: skip

    fields = [prompt, negative, seed, steps, guidance, width, height]
    outputs = [preview, gallery, detail, download]
    examples = [[one] for one in text("generate.examples").split("|")]
    ready = gr.Examples(
        examples, prompt, label=text("page.examples"), examples_per_page=12, cache_examples=False,
        api_visibility="private",
    )  # fmt: skip
    frame.listen(
        [frame.run.click, prompt.submit, negative.submit, seed.submit], ready, run,
        [*fields, count, frame.model], outputs,
    )  # fmt: skip
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    recipe.upload(_restored, recipe, [*fields, count, frame.model, recipe], **quiet)
    gallery.select(_chosen, gallery, download, **quiet)
    frame.model.change(_defaults, frame.model, [steps, guidance, width, height], **quiet)

    def resume(owner: str | None, job: str | None) -> Iterator[parts.Updates]:
        yield from frame.follow(owner, job, show)

    return frame, gallery, (resume, outputs)


def _restored(path: str) -> list[Any]:
    """Every field as the dropped picture's recipe says; a model that is not offered here leaves the choice as it is."""
    recipe = inputs.read_recipe(path)
    if recipe is None:
        gr.Warning(UserError("recipe_missing").sentence())
        return [*[gr.skip()] * 9, None]
    names = ("prompt", "negative", "seed", "steps", "guidance", "width", "height")
    known = recipe.get("model") in {row.id for row in catalog.rows("generate")}
    if not known:
        gr.Warning(UserError("recipe_model", model=recipe.get("model", "?")).sentence())
    model = recipe["model"] if known else gr.skip()
    return [*[recipe.get(name, gr.skip()) for name in names], 1, model, None]


def _chosen(shown: list[Any], event: gr.SelectData) -> Any:
    return gr.update(value=shown[event.index][0]) if shown else gr.skip()


def _defaults(model: str) -> list[Any]:
    want = catalog.find("generate", model).defaults
    return [want[name] for name in ("steps", "guidance", "width", "height")]


def _detail(result: Pictures) -> str:
    seeds = ", ".join(str(seed) for seed in result.seeds)
    lines = [text("generate.seeds", seeds=seeds), *result.notes]
    return "".join(f'<p class="made">{html.escape(line)}</p>' for line in lines)
