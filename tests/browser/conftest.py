"""A visitor: a Chromium window of its own on the running app, watched for console errors and foreign requests."""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from pipelines.errors import text
from tools.server import Server, chromium

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
LIMIT = 60_000  # milliseconds, for a slow machine that loads a model first

# What Gradio itself says when a page is left while it listens to a job: allowed in tests marked `leaves_page`.
LEAVING = ("AbortError", "Connection errored out")

expect.set_options(timeout=LIMIT)

Visit = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def visit(server: Server, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """Opens the page for a new visitor, on a tab. In the end: no console error, no request to another host."""
    faults: list[str] = []
    opened: list[Page] = []
    host = urlsplit(server.url).netloc

    def asked(url: str) -> None:
        if urlsplit(url).netloc not in (host, ""):
            faults.append(f"request to {url[:100]}")

    def open_page(
        tab: str = "Classify", theme: str = "light", width: int = 1280, height: int = 800, locale: str = "en-US"
    ) -> Page:
        page = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce", locale=locale)
        page.set_default_timeout(LIMIT)
        opened.append(page)
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda sent: asked(sent.url))
        page.goto(f"{server.url}/?__theme={theme}")
        choose(page, tab, locale[:2])
        return page

    yield open_page
    for page in opened:
        page.context.close()
    allowed = LEAVING if request.node.get_closest_marker("leaves_page") else ()
    assert not [fault for fault in faults if not any(said in fault for said in allowed)]


@pytest.fixture
def page(visit: Visit) -> Page:
    return visit()


def choose(page: Page, tab: str, language: str = "en") -> None:
    page.get_by_role("tab", name=text(f"{tab.lower()}.tab", language), exact=True).click()
    expect(page.locator(f"#{tab.lower()}-run")).to_be_visible()
    _settle(page)


def run_example(page: Page, tab: str, index: int = 0) -> None:
    """One click on an example, and its result."""
    choose(page, tab)
    page.locator(f"#{tab.lower()}-examples .gallery-item").nth(index).click()
    finished(page, tab)


def finished(page: Page, tab: str) -> None:
    """Waits for the line under the result: model, device and seconds."""
    expect(page.locator(f"#{tab.lower()}-made")).to_contain_text("·")
    expect(page.locator(f"#{tab.lower()}-run")).to_be_enabled()


def open_options(page: Page, tab: str) -> None:
    """Opens a tab's options."""
    page.get_by_role("button", name=text("page.options")).click()
    page.locator(f"#{tab.lower()}-options input").last.wait_for()
    _settle(page)


def _settle(page: Page) -> None:
    """Gradio sets fields once more in the frame after it has drawn them, which undoes what a script, faster than any visitor,
    has typed by then."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
