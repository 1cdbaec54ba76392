"""The Generate tab: pictures from a prompt, with the recipe of each."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from pipelines import catalog, inputs
from pipelines.errors import UserError, text
from pipelines.results import Partial, Pictures
from ui import files, jobs, parts

EXAMPLES = ("apple", "car", "cat", "star", "house", "pizza", "dragon", "bananas")
SETTINGS = ("steps", "guidance", "width", "height")


def build(owner: gr.BrowserState, chosen: str | None) -> parts.Tab:
    """Draws the tab."""
    frame = parts.Frame("generate", owner, chosen)
    want = catalog.find("generate", chosen).defaults
    with gr.Row(equal_height=False):
        with gr.Column():
            prompt = gr.Textbox(
                label=text("generate.prompt"), placeholder=text("generate.placeholder"), lines=1, max_lines=4,
                elem_id="generate-prompt",
            )  # fmt: skip
            ready = gr.Dataset(
                components=[gr.Textbox(render=False)], type="index",
                samples=[[text(f"generate.examples.{one}")] for one in EXAMPLES], samples_per_page=100,
                label=text("page.examples"), layout="gallery", elem_id="generate-examples", elem_classes="examples",
            )  # fmt: skip
            frame.draw_actions()
            frame.draw_model()
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
                    width = gr.Number(
                        want["width"], label=text("generate.width"), precision=0, min_width=90, elem_id="generate-width"
                    )
                    height = gr.Number(
                        want["height"], label=text("generate.height"), precision=0, min_width=90,
                        elem_id="generate-height",
                    )  # fmt: skip
                count = gr.Slider(1, 8, 1, step=1, label=text("generate.count"), elem_id="generate-count")
            with gr.Column(elem_id="generate-restore"):
                recipe = gr.UploadButton(text("generate.recipe"), size="sm")
        with gr.Column(elem_classes="card"):
            frame.status.render()
            preview = gr.Image(
                label=text("generate.preview"), show_label=False, container=False, height=380, visible=False,
                interactive=False, buttons=[], format="png", elem_id="generate-preview",
            )  # fmt: skip
            gallery = gr.Gallery(
                label=text("generate.pictures"), show_label=False, container=False, columns=2, height=380,
                object_fit="contain", type="filepath", format="png", interactive=False, buttons=["fullscreen"],
                elem_id="generate-result", visible=False,
            )  # fmt: skip
            detail = gr.HTML(
                parts.empty(text("generate.empty")), elem_id="generate-detail", elem_classes="result", padding=False
            )
            frame.made.render()
            picture = gr.State(None)
            download = gr.DownloadButton(
                text("generate.download"), size="sm", interactive=False, elem_id="generate-download"
            )
            send = parts.send_row("generate")

    def show(snapshot: jobs.Snapshot) -> parts.Updates:
        event, result = snapshot.event, snapshot.result
        if isinstance(result, Pictures):
            made = zip(result.pictures, result.recipes, strict=True)
            named = [(files.png(one, recipe), recipe["drawn"]) for one, recipe in made]  # with alternative texts
            first = named[0][0]  # the one to download and to send
            return {
                preview: gr.update(visible=False),
                gallery: gr.update(value=named, visible=True, selected_index=0),
                detail: _detail(result),
                picture: first,
                download: gr.update(value=first, interactive=True),
            }
        if snapshot.finished:  # without a picture, and the one before has given way to the preview, if there was any
            nothing = {detail: parts.empty(text("generate.empty"))} if isinstance(event, Partial) else {}
            return {preview: gr.update(visible=False)} | nothing
        if isinstance(event, Partial) and event.picture is not None:
            shown = gr.update(value=event.picture, visible=True)
            hidden, off = gr.update(visible=False), gr.update(interactive=False)
            return {preview: shown, gallery: hidden, detail: "", picture: None, download: off}
        return {}

    def run(
        owner: str | None, before: str | None, prompt: str, negative: str, seed: str, steps: float, guidance: float,
        width: float, height: float, count: float, model: str,
    ) -> Iterator[parts.Updates]:  # fmt: skip
        yield from frame.start(
            owner, before, show, prompt=prompt, model=model, negative=negative, seed=seed, steps=steps,
            guidance=guidance, width=width, height=height, count=count,
        )  # fmt: skip

    def resume(owner: str | None, job: str | None) -> Iterator[parts.Updates]:
        yield from frame.follow(owner, job, show)

    fields = [prompt, negative, seed, steps, guidance, width, height, count, frame.model]
    outputs = [preview, gallery, detail, picture, download]
    filled = ready.click(lambda index: text(f"generate.examples.{EXAMPLES[index]}"), ready, prompt,
                         trigger_mode="multiple", **parts.QUIET)  # fmt: skip
    frame.listen([frame.run.click, prompt.submit, negative.submit, seed.submit], filled, run, fields, outputs)
    recipe.upload(_restored, recipe, [*fields, frame.status], **parts.QUIET)
    gallery.select(_chosen, gallery, [picture, download], **parts.QUIET)
    frame.model.input(_defaults, frame.model, [steps, guidance, width, height], **parts.QUIET)
    return parts.Tab(frame, resume, outputs, picture=picture, send=send)


def _restored(path: str) -> list[Any]:
    """Every field as the dropped picture's recipe says; a model that can't be chosen here leaves the choice as it is."""
    recipe = inputs.read_recipe(path)
    if recipe is None:
        return [*[gr.skip()] * 9, parts.alert(UserError("recipe_missing").sentence())]
    fields = [recipe.get(name, gr.skip()) for name in ("prompt", "negative", "seed", *SETTINGS)]
    offered = recipe.get("model") in {row.id for row in catalog.rows("generate")}
    if "model" in recipe and (offered or catalog.typing_allowed()):
        return [*fields, 1, recipe["model"], parts.said(text("generate.restored"))]
    unknown = UserError("recipe_model", model=recipe.get("model", "?"))
    return [*fields, 1, gr.skip(), parts.alert(unknown.sentence())]


def _chosen(shown: list[Any], event: gr.SelectData) -> tuple[Any, Any]:
    path = shown[event.index][0]
    return path, gr.update(value=path)


def _defaults(model: str) -> list[Any]:
    try:
        want = catalog.find("generate", model).defaults
    except UserError:  # a name that was typed in: the model choice says why it can't be used
        return [gr.skip()] * len(SETTINGS)
    return [want[name] for name in SETTINGS]


def _detail(result: Pictures) -> str:
    """The seeds, with what each has drawn where that is not the prompt word for word, and the notes."""
    drawn = [f" ({one['drawn']})" if one["drawn"] != one["prompt"] else "" for one in result.recipes]
    seeds = ", ".join(f"{seed}{what}" for seed, what in zip(result.seeds, drawn, strict=True))
    return "".join(map(parts.line, [text("generate.seeds", seeds=seeds), *result.notes]))
