"""Screenshots of the running app: every tab, wide and narrow, light and dark, before and after a result.

All go to `build/screenshots`, to be looked at; the README's one to `assets/screenshots`. Fails if a page is wider than
its window, if the console has an error, or if a request goes to another host."""

import argparse
import shutil
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, sync_playwright

from pipelines.errors import text
from tools.server import ROOT, Server, chromium, running

SIZES = {"wide": (1280, 800), "narrow": (390, 844)}
THEMES = ("light", "dark")
SHOWN = "classify-wide-light-result"  # the README's
BUILD = ROOT / "build" / "screenshots"
README = ROOT / "assets" / "screenshots" / "classify.png"
LIMIT = 120_000  # milliseconds for a result on a slow machine


def main() -> None:
    parser = argparse.ArgumentParser(prog="tools.screenshots", description=__doc__)
    parser.add_argument("--language", default="en", help="of the page; the README's picture is in English")
    language = parser.parse_args().language
    BUILD.mkdir(parents=True, exist_ok=True)
    README.parent.mkdir(parents=True, exist_ok=True)
    with running("--language", language) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        faults = [
            fault
            for size, (width, height) in SIZES.items()
            for theme in THEMES
            for fault in _shots(browser, server, f"{size}-{theme}", width, height, theme, language)
        ]
    if language == "en":
        shutil.copy(BUILD / f"{SHOWN}.png", README)
    print(f"{len(list(BUILD.glob('*.png')))} screenshots in {BUILD.relative_to(ROOT)}")
    if faults:
        raise SystemExit("\n".join(faults))


def _shots(
    browser: Browser, server: Server, name: str, width: int, height: int, theme: str, language: str
) -> list[str]:
    """Takes one window's pictures; returns what is wrong."""
    faults: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
    host = urlsplit(server.url).netloc
    page.on("console", lambda said: faults.append(f"{name}: {said.text}") if said.type == "error" else None)
    page.on(
        "request",
        lambda asked: (
            None if urlsplit(asked.url).netloc in (host, "") else faults.append(f"{name}: request to {asked.url[:100]}")
        ),
    )
    page.goto(f"{server.url}/?__theme={theme}")
    page.locator("#classify-run").wait_for()
    for task in ("classify", "caption", "ask", "generate"):
        page.locator("#tabs").get_by_role("tab", name=text(f"{task}.tab", language), exact=True).click()
        page.locator(f"#{task}-run").wait_for()
        for state in ("start", "result"):
            if state == "result":
                _run(page, task)
            page.wait_for_function("[...document.images].every(image => image.complete || image.loading == 'lazy')")
            for part, whole in (("", False), ("-whole", True)):
                page.screenshot(path=BUILD / f"{task}-{name}-{state}{part}.png", full_page=whole)
            wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if wider > 0:
                faults.append(f"{task}-{name}-{state}: {wider} pixels wider than the window")
    page.close()
    return faults


def _run(page: Page, task: str) -> None:
    """Runs the photo of a cat, or the first prompt, as a visitor does and waits for the result."""
    panel = page.get_by_role("tabpanel").filter(has=page.locator(f"#{task}-run"))
    cat = panel.get_by_role("button", name="cat", exact=True)
    cat.or_(panel.locator("#generate-examples .gallery-item").first).click()
    page.locator(f"#{task}-made").get_by_text("·").wait_for(timeout=LIMIT)
    if task == "generate":
        page.locator("#generate-result img").first.evaluate("picture => picture.decode()")
    page.evaluate("window.scrollTo(0, 0)")


if __name__ == "__main__":
    main()
