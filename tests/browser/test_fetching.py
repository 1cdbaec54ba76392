"""A visitor chooses a model that is not on disk: its fetch is seen, stopped and shared, its faults are sentences."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from pipelines import catalog
from pipelines.errors import UserError, text
from tests import standin
from tests.standin import Hub
from tools.server import Server, running

from .conftest import Visit, choose, finished, run_example

ROW = catalog.find("classify", "mobileclip2-s0")
TYPED = "someone/clip"


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """A hub whose models are the bundled one under other names."""
    with standin.running() as started:
        folder = catalog.find("classify", "quartet-clip").folder
        for name in (ROW.source, TYPED):
            started.add(name, folder)
        yield started


@pytest.fixture(scope="module")
def server(hub: Hub) -> Iterator[Server]:
    """The app with this hub, and nothing fetched yet."""
    with running(HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0", QUARTET_MEMORY="4") as started:
        yield started


def test_from_the_choice_over_the_progress_to_the_result(hub: Hub, visit: Visit) -> None:
    page = visit()
    assert not hub.seen, "nothing is fetched before the user asks"
    hub.hold_after = 2**20
    page.locator("#classify-model input").click()
    option = page.get_by_role("option", name=ROW.name)
    expect(option).to_contain_text(catalog.size(ROW.download_bytes))
    expect(option).not_to_contain_text("on disk")
    option.click()
    expect(page.locator("#classify-model")).to_contain_text(ROW.note)
    page.locator("#classify-examples .gallery-item").first.click()
    expect(page.locator("#classify-status")).to_contain_text(f"Fetching {ROW.name}")
    expect(page.locator("#classify-status .progress span[style]")).to_have_count(1)

    run_example(visit(), "Caption")  # the bundled models answer all the while
    page.locator("#classify-stop").click()
    expect(page.locator("#classify-status")).to_have_text(text("page.stopped"))

    page.locator("#classify-run").click()
    expect(page.locator("#classify-status")).to_contain_text(f"Fetching {ROW.name}")
    hub.hold_after = -1
    hub.go.set()
    finished(page, "Classify")
    expect(page.locator("#classify-made")).to_contain_text(hub.repositories[ROW.source].commit)
    page.locator("#classify-model input").click()
    expect(page.get_by_role("option", name=ROW.name)).to_contain_text("on disk")


def test_a_fault_of_the_hub_is_a_sentence_and_a_typed_name_works_after_it(hub: Hub, page: Page) -> None:
    hub.status = 500
    model = page.locator("#classify-model input")
    model.fill(TYPED)
    model.press("Enter")
    sentence = UserError("hub_failed", status=500).sentence()
    expect(page.locator("#classify-status [role=alert]")).to_have_text(sentence)
    page.locator("#classify-examples .gallery-item").first.click()
    expect(page.locator("#classify-status [role=alert]")).to_have_text(sentence)
    hub.status = 0
    page.locator("#classify-run").click()
    finished(page, "Classify")
    expect(page.locator("#classify-made")).to_contain_text(hub.repositories[TYPED].commit)
    choose(page, "Caption")
    run_example(page, "Caption")


def test_a_typed_name_is_shown_as_typed(page: Page) -> None:
    """`visit` checks in the end that no other host was asked."""
    hostile = "![a](http://elsewhere.example/a.png) <img src=http://elsewhere.example/b.png>"
    model = page.locator("#classify-model input")
    model.fill(hostile)
    model.press("Enter")
    expect(page.locator("#classify-status [role=alert]")).to_contain_text(f"“{hostile}”")
