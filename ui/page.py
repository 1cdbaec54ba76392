"""The page: four tabs, a header that says what is going on, and the ways from one tab to another."""

import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio.to_thread
import gradio as gr
from gradio_client.utils import is_http_url_like
from starlette.middleware import Middleware

from pipelines import errors
from pipelines.errors import UserError, text
from ui import api, ask, caption, classify, files, generate, jobs, language, parts

log = logging.getLogger("quartet.page")
HERE = Path(__file__).parent
TABS = {"classify": classify, "caption": caption, "ask": ask, "generate": generate}

# Gradio puts a point behind each link of its footer; page.css does not reach outside the page's blocks.
FOOTER = "<style>footer .divider { display: none !important; }</style>"

# What `launch` takes for the page (Gradio 6 takes looks there and not in `Blocks`). No font comes from elsewhere.
LOOK: dict[str, Any] = {
    "theme": gr.themes.Default(
        primary_hue="indigo",
        neutral_hue="slate",
        spacing_size="sm",
        radius_size="md",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        body_background_fill="*neutral_50",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_shadow="none",
        body_text_color_subdued="*neutral_500",  # 4.5:1 and more, as WCAG 2.2 asks for
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_700",
        color_accent="*primary_600",
        input_background_fill_dark="*neutral_900",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
    ),
    "css_paths": [HERE / "page.css"],
    "head": f"<script>{(HERE / 'page.js').read_text('utf-8')}</script>{FOOTER}",
    "footer_links": ["api"],  # of its settings none changes this page but dark, which follows the system
    "app_kwargs": {"middleware": [Middleware(language.Spoken)]},
}


@dataclass(frozen=True)
class Settings:
    """What the command line decides of the page: the default model of each task (None: the catalogue's)."""

    models: dict[str, str | None] = field(default_factory=dict)


class Page(gr.Blocks):
    """Blocks that speak the visitor's language, and fetch photos given by their web address, as MCP clients do, themselves:
    Gradio would without our checks. A fault of ours is a sentence here, too."""

    fetching = anyio.CapacityLimiter(2)  # a photo may take a gigabyte while it is decoded

    @property
    def config(self) -> Any:
        """What a browser draws the page from, in the language of whoever asks for it."""
        return language.translated(self._config, errors.spoken())

    @config.setter
    def config(self, drawn: Any) -> None:
        self._config = drawn

    async def process_api(self, *given: Any, request: Any = None, **named: Any) -> dict[str, Any]:
        errors.reader.set(language.of(getattr(request, "headers", {})))
        try:
            return await super().process_api(*given, request=request, **named)
        except (gr.Error, ValueError):  # Gradio's own refusals are ValueErrors
            raise
        except Exception as error:
            number = secrets.token_urlsafe(6)
            log.exception("request %s failed", number)
            raise gr.Error(UserError("failed", request=number).sentence(), print_exception=False) from error

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *more: Any, **named: Any) -> Any:
        try:
            inputs = await self._brought(inputs)
        except UserError as error:
            raise gr.Error(error.sentence(), print_exception=False) from error
        return await super().preprocess_data(block_fn, inputs, *more, **named)

    async def _brought(self, value: Any) -> Any:
        """An input in which each file that is given by its web address is one on this machine, and each says that it is a
        file: only of these Gradio checks that they were uploaded, and are no others of this machine's."""
        if isinstance(value, list | tuple):
            return [await self._brought(one) for one in value]
        if not isinstance(value, dict):
            return value
        path = value.get("path")
        if not isinstance(path, str):
            return {name: await self._brought(one) for name, one in value.items()}
        if is_http_url_like(path):
            own = files.uploaded(path) or await anyio.to_thread.run_sync(files.fetched, path, limiter=self.fetching)
            value = value | {"path": own, "url": None}
        return value | {"meta": {"_type": "gradio.FileData"}}


def build(settings: Settings) -> gr.Blocks:
    """Draws the page."""
    speaking = errors.reader.set(errors.chosen() or errors.MARKED)
    try:
        return _drawn(settings)
    finally:
        errors.reader.reset(speaking)


def _drawn(settings: Settings) -> gr.Blocks:
    page = Page(title=text("page.title", "en"), analytics_enabled=False, delete_cache=(3600, 86400), fill_width=False)
    with page:
        owner = gr.BrowserState(None, storage_key="quartet-owner")
        with gr.Row(elem_id="header"):
            title = f'<h1 lang="{text("page.language")}">{text("page.title")}</h1>'
            gr.HTML(f"{title}<p>{text('page.tagline')}</p>", padding=False)
            warm = gr.HTML("", elem_id="warm", padding=False)
        built: dict[str, parts.Tab] = {}
        with gr.Tabs(elem_id="tabs") as tabs:
            for task, tab in TABS.items():
                with gr.Tab(text(f"{task}.tab"), id=task, elem_id=f"{task}-tab"):
                    built[task] = tab.build(owner, settings.models.get(task))
        for one in built.values():  # what the browser keeps: inside a tab it is not read before the tab is shown
            for kept in (one.frame.job, one.frame.kept, *one.resume_values):
                kept.render()
            for other, button in one.send.items():
                button.click(_sender(other), one.picture, [built[other].target, tabs, one.frame.status], **parts.QUIET)
        # The empty first step waits until what the browser keeps has been read.
        ready = page.load(lambda: None, **parts.QUIET)
        loaded = ready.then(None, owner, owner, js=parts.NEW_OWNER, **parts.QUIET)
        for one in built.values():
            fields = one.frame.fields
            loaded.then(None, [one.frame.kept, *fields], fields, js=parts.RETURN, **parts.QUIET)
            loaded.then(
                one.resume, [owner, one.frame.job, *one.resume_values], [*one.frame.outputs, *one.outputs],
                **parts.WATCHING,
            )  # fmt: skip
        frames = [one.frame for one in built.values()]
        page.load(lambda: [one.offered() for one in frames], None, [one.model for one in frames], **parts.QUIET)
        page.load(_warming, None, warm, **parts.WATCHING)
        api.endpoints(page)
    return page


def _sender(other: str) -> Any:
    def send(path: str | None) -> tuple[Any, Any, Any]:
        if not path:
            return gr.skip(), gr.skip(), parts.alert(UserError("nothing_to_send").sentence())
        return path, gr.Tabs(selected=other), gr.skip()

    return send


def _warming() -> Iterator[str]:
    """Says which bundled model is being loaded in the background, until all are there."""
    for sentence in jobs.warming():
        yield f'<div class="warm">{sentence}</div>' if sentence else ""
