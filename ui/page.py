"""The page: four tabs, a header that says what is going on, and the ways from one tab to another."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from gradio_client.utils import is_http_url_like

from pipelines.errors import UserError, text
from ui import api, ask, caption, classify, generate, jobs, parts

HERE = Path(__file__).parent
TABS = {"classify": classify, "caption": caption, "ask": ask, "generate": generate}

# What `launch` takes for the page (Gradio 6 takes looks there and not in `Blocks`). No font comes from elsewhere.
LOOK: dict[str, Any] = {
    "theme": gr.themes.Soft(
        primary_hue="indigo",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        block_title_background_fill="transparent",
        block_title_background_fill_dark="transparent",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_title_padding="0",
        block_label_background_fill_dark="*neutral_800",
    ),
    "css_paths": [HERE / "page.css"],
    "head": f"<script>{(HERE / 'page.js').read_text('utf-8')}</script>",
    "footer_links": ["api", "settings"],
}


@dataclass(frozen=True)
class Settings:
    """What the command line decides of the page: the default model of each task (None: the catalogue's)."""

    models: dict[str, str | None] = field(default_factory=dict)


class Page(gr.Blocks):
    """Blocks that take files from uploads only: an address in their place would be fetched without our checks."""

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *more: Any, **named: Any) -> Any:
        if _has_address(inputs):
            raise gr.Error(UserError("photo_address").sentence(), print_exception=False)
        return await super().preprocess_data(block_fn, inputs, *more, **named)


def _has_address(value: Any) -> bool:
    """Whether a file in an input is given by its web address."""
    if isinstance(value, dict):
        path = value.get("path")
        return (isinstance(path, str) and is_http_url_like(path)) or any(map(_has_address, value.values()))
    return isinstance(value, list | tuple) and any(map(_has_address, value))


def build(settings: Settings) -> gr.Blocks:
    """Draws the page."""
    page = Page(title=text("page.title"), analytics_enabled=False, delete_cache=(3600, 86400), fill_width=False)
    with page:
        owner = gr.BrowserState(None, storage_key="quartet-owner")
        gr.HTML(f"<h1>{text('page.title')}</h1><p>{text('page.tagline')}</p>", elem_id="header")
        warm = gr.HTML("", elem_id="warm")
        built, sources = {}, {}
        with gr.Tabs(elem_id="tabs") as tabs:
            for task, tab in TABS.items():
                with gr.Tab(text(f"{task}.tab"), id=task):
                    frame, source, resumed = tab.build(owner, settings.models.get(task))
                    sources[task] = source
                    built[task] = (frame, source, resumed, _send_row(task))
        for task, (_, source, _, buttons) in built.items():
            for other, button in buttons.items():
                button.click(
                    _sender(other), source, [built[other][1], tabs], show_progress="hidden", api_visibility="private"
                )
        loaded = page.load(parts.new_owner, owner, owner, show_progress="hidden", api_visibility="private")
        for frame, _, (resume, outputs), _ in built.values():
            loaded.then(
                resume, [owner, frame.job], [*frame.outputs, *outputs], show_progress="hidden",
                concurrency_limit=None, api_visibility="private",
            )  # fmt: skip
        page.load(_warming, None, warm, show_progress="hidden", concurrency_limit=None, api_visibility="private")
        api.endpoints()
    return page


def _send_row(task: str) -> dict[str, gr.Button]:
    """A button to each other tab that takes a photo."""
    with gr.Row(elem_classes="send"):
        gr.HTML(f"<span>{text('page.send_to')}</span>", elem_classes="send-label")
        return {
            other: gr.Button(text(f"{other}.tab"), size="sm", elem_id=f"{task}-send-{other}", min_width=80)
            for other in TABS
            if other not in (task, "generate")
        }


def _sender(other: str) -> Any:
    def send(source: Any) -> tuple[Any, Any]:
        path = source[0][0] if isinstance(source, list) and source else source
        if not path:
            gr.Warning(UserError("nothing_to_send").sentence())
            return gr.skip(), gr.skip()
        return path, gr.Tabs(selected=other)

    return send


def _warming() -> Iterator[str]:
    """Says which bundled model is being loaded in the background, until all are there."""
    for sentence in jobs.warming():
        yield f'<div class="warm">{sentence}</div>' if sentence else ""
