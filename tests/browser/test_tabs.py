"""What a visitor does on each tab: an example, own words, keys, Stop, a follow-up question, a reload."""

import json
import re

import pytest
from playwright.sync_api import Page, expect

from pipelines.errors import text
from tools.server import Server

from .conftest import Visit, choose, finished, open_options, run_example


def test_a_click_on_an_example_classifies_it(page: Page) -> None:
    run_example(page, "Classify")
    result = page.locator("#classify-result")
    expect(result.locator(".bar")).to_have_count(5)
    expect(result.locator("tbody tr")).to_have_count(len(text("classify.first_labels").split(",")))


def test_a_click_on_an_example_describes_it(page: Page) -> None:
    run_example(page, "Caption")
    said = page.locator("#caption-result .said")
    expect(said).to_have_text(re.compile(r"\w"))
    page.locator("#caption-result").get_by_text(text("page.word_by_word")).click()
    expect(page.locator("#caption-result .bar")).to_have_count(len(said.inner_text().split()))
    expect(page.locator("#caption-result .bar").first).to_be_visible()


def test_a_click_on_an_example_draws_it(page: Page) -> None:
    run_example(page, "Generate")
    prompt = page.get_by_label(text("generate.prompt")).input_value()
    expect(page.locator("#generate-result").get_by_role("img", name=prompt).first).to_be_visible()
    expect(page.locator("#generate-detail")).to_contain_text("Seed")


def test_a_follow_up_keeps_the_talk_and_another_photo_starts_anew(page: Page) -> None:
    run_example(page, "Ask", 0)
    messages = page.locator("#ask-result .message-row")
    expect(messages).to_have_count(2)
    page.get_by_label(text("ask.question")).fill("What color is it? <b>now</b> ![](http://elsewhere.example/a.png)")
    page.keyboard.press("Enter")
    expect(messages).to_have_count(4)
    finished(page, "Ask")
    expect(messages.nth(2)).to_contain_text("<b>now</b> ![](http://elsewhere.example/a.png)")  # as it was typed
    expect(page.get_by_label(text("ask.question"))).to_have_value("")
    page.locator("#ask-examples").get_by_role("button", name="cat", exact=True).click()
    expect(messages).to_have_count(2)
    finished(page, "Ask")
    expect(page.locator("#ask-made")).to_contain_text("·")
    page.locator("#ask-new").click()
    expect(messages).to_have_count(0)
    expect(page.locator("#ask-made")).to_have_text("")


@pytest.mark.leaves_page
def test_a_talk_goes_on_after_a_reload(page: Page) -> None:
    run_example(page, "Ask", 0)
    page.reload()
    choose(page, "Ask")
    messages = page.locator("#ask-result .message-row")
    expect(messages).to_have_count(2)
    expect(page.locator("#ask-photo img")).to_be_visible()
    page.get_by_label(text("ask.question")).fill("What color is it?")
    page.keyboard.press("Enter")
    expect(messages).to_have_count(4)
    finished(page, "Ask")
    page.locator("#ask-run").click()  # without a question
    expect(page.locator("#ask-status")).to_contain_text("empty")
    for _ in range(2):  # which costs no pair that has its answer
        page.reload()
        choose(page, "Ask")
        expect(messages).to_have_count(4)
        expect(page.get_by_label(text("ask.question"))).to_have_value("")


@pytest.mark.leaves_page
def test_another_window_has_its_own_talk_and_leaves_this_ones_alone(visit: Visit) -> None:
    page = visit("Ask")
    run_example(page, "Ask", 0)
    with page.context.expect_page() as opened:
        page.evaluate("window.open(location.href, '_blank', 'noopener')")
    other = opened.value
    choose(other, "Ask")
    expect(other.locator("#ask-result .message-row")).to_have_count(0)
    run_example(other, "Ask", 1)
    mine = page.locator("#ask-photo img").get_attribute("src")
    assert mine != other.locator("#ask-photo img").get_attribute("src")
    page.reload()
    choose(page, "Ask")
    expect(page.locator("#ask-result .message-row")).to_have_count(2)
    expect(page.locator("#ask-photo img")).to_have_attribute("src", mine or "")


def test_a_new_talk_ends_the_answer_that_is_being_written(visit: Visit) -> None:
    page = visit("Ask")
    run_example(page, "Ask", 0)
    page.get_by_label(text("ask.question")).fill("what is x " * 100)
    page.keyboard.press("Enter")
    expect(page.locator("#ask-stop")).to_be_enabled()
    page.locator("#ask-new").click()
    expect(page.locator("#ask-run")).to_be_enabled()
    page.wait_for_timeout(1000)  # nothing comes back
    expect(page.locator("#ask-result .message-row")).to_have_count(0)


def test_of_two_examples_the_last_one_is_shown(page: Page) -> None:
    choose(page, "Generate")
    examples = page.locator("#generate-examples .gallery-item")
    examples.nth(0).click()
    expect(page.locator("#generate-status")).to_contain_text("step")
    examples.nth(3).click()
    drawn = page.locator("#generate-result img").first
    expect(drawn).to_have_attribute("alt", re.compile(f"{text('generate.examples.star').split()[-1]}$"))
    finished(page, "Generate")
    expect(page.locator("#generate-prompt textarea")).to_have_value(text("generate.examples.star"))


def test_what_is_typed_after_a_question_stays(page: Page) -> None:
    run_example(page, "Ask", 0)
    question = page.get_by_label(text("ask.question"))
    question.fill("Is there a cat?")
    page.keyboard.press("Enter")
    question.press_sequentially("Is it day?", delay=5)
    expect(page.locator("#ask-result .message-row")).to_have_count(4)
    finished(page, "Ask")
    expect(question).to_have_value("Is it day?")


def test_an_error_about_a_model_goes_once_another_is_chosen(page: Page) -> None:
    choose(page, "Caption")
    model = page.locator("#caption-model input")
    for typed, said in (("../../etc", re.compile("There is no model")), ("quartet-vlm", text("page.result"))):
        model.fill(typed)
        model.press("Enter")
        expect(page.locator("#caption-status")).to_have_text(said)


def test_own_labels_run_by_keys_and_are_shown_as_typed(page: Page) -> None:
    run_example(page, "Classify")
    hostile = "<img src=x onerror=alert(1)>"
    labels = page.locator("#classify-labels textarea")
    labels.fill(f"one thing, {hostile}, one thing")
    expect(page.locator("#classify-run")).to_have_text(text("classify.run_many", count=2))
    labels.press("Control+Enter")
    expect(page.locator("#classify-result tbody tr")).to_have_count(2)
    expect(page.locator("#classify-result .bar", has_text=hostile)).to_have_count(1)
    expect(page.locator("#classify-result")).to_contain_text(text("notes.labels_merged", count=1))


def test_a_pasted_template_is_the_one_that_is_used(page: Page) -> None:
    page.locator("#classify-examples .gallery-item").nth(1).click()
    finished(page, "Classify")
    before = page.locator("#classify-result tbody tr").first.inner_text()
    open_options(page, "Classify")
    ensemble = page.get_by_label(text("classify.ensemble"))
    expect(ensemble).to_be_checked()
    page.get_by_label(text("classify.template"), exact=True).fill("a sketch of a {}")
    expect(ensemble).not_to_be_checked()
    page.keyboard.press("Enter")
    expect(page.locator("#classify-result tbody tr").first).not_to_have_text(before)


def test_a_ready_made_list_fills_the_labels(page: Page) -> None:
    page.locator("#classify-ready input").click()
    page.get_by_role("option", name="cifar-10").click()
    expect(page.locator("#classify-run")).to_have_text(text("classify.run_many", count=10))
    expect(page.locator("#classify-labels textarea")).to_have_value(re.compile("airplane"))


def test_a_double_click_starts_one_job(server: Server, visit: Visit) -> None:
    page = visit("Caption")
    run_example(page, "Caption")
    before = _jobs(server, "caption")
    page.locator("#caption-run").dblclick()
    expect(page.locator("#caption-run")).to_be_enabled()
    finished(page, "Caption")
    run_example(page, "Classify")
    assert _jobs(server, "caption") == before + 1


def test_what_is_missing_is_said_and_the_next_run_works(visit: Visit) -> None:
    page = visit("Ask")
    page.get_by_label(text("ask.question")).fill("What is it?")
    page.locator("#ask-run").click()
    expect(page.locator("#ask-status")).to_have_text(text("errors.photo_missing"))
    expect(page.get_by_label(text("ask.question"))).to_have_value("What is it?")
    run_example(page, "Ask")
    expect(page.locator("#ask-status")).to_have_text(text("page.result"))


def test_stop_ends_the_work_within_two_seconds(visit: Visit) -> None:
    page = visit("Generate")
    _many_steps(page)
    page.locator("#generate-stop").click()
    # "Stopped" is shown after the pipeline's generator is closed: its thread has ended then.
    expect(page.locator("#generate-status")).to_have_text(text("page.stopped"), timeout=2000)
    expect(page.locator("#generate-run")).to_be_enabled()
    run_example(page, "Classify")


def test_a_drawing_that_is_stopped_leaves_nothing_to_download_or_send(visit: Visit) -> None:
    page = visit("Generate")
    run_example(page, "Generate")
    expect(page.locator("#generate-download")).to_be_enabled()
    _many_steps(page)
    expect(page.locator("#generate-preview")).to_be_visible()
    expect(page.locator("#generate-download")).to_be_disabled()
    page.locator("#generate-stop").click()
    expect(page.locator("#generate-detail")).to_have_text(text("generate.empty"))
    expect(page.locator("#generate-made")).to_have_text("")


def test_pictures_that_are_finished_stay_when_the_next_one_is_stopped(visit: Visit) -> None:
    page = visit("Generate")
    _many_steps(page, steps=40)
    expect(page.locator("#generate-status")).to_contain_text("picture 2 of 4")
    page.locator("#generate-stop").click()
    expect(page.locator("#generate-status")).to_have_text(text("page.stopped"))
    expect(page.locator("#generate-result").get_by_role("img").first).to_be_visible()
    expect(page.locator("#generate-detail")).to_contain_text("Seed")
    expect(page.locator("#generate-download")).to_be_enabled()


def test_a_run_that_fails_leaves_the_result_before_with_its_line(visit: Visit) -> None:
    page = visit()
    run_example(page, "Classify", 1)
    page.locator("#classify-labels textarea").fill("")
    page.locator("#classify-run").click()
    expect(page.locator("#classify-status")).to_have_text(text("errors.labels_none"))
    expect(page.locator("#classify-made")).to_contain_text("·")
    page.locator("#classify-examples .gallery-item").nth(2).click()  # another photo, and no labels still
    expect(page.locator(".card.stale #classify-result")).to_be_visible()
    expect(page.locator("#classify-made .old")).to_be_visible()


@pytest.mark.leaves_page
def test_a_reload_finds_the_running_job_and_the_finished_one(visit: Visit) -> None:
    page = visit("Caption")
    run_example(page, "Caption", 1)
    said = page.locator("#caption-result .said").inner_text()
    choose(page, "Generate")
    _many_steps(page)
    prompt = page.locator("#generate-prompt textarea").input_value()
    page.locator("#generate-prompt textarea").fill("typed meanwhile")
    page.reload()
    expect(page.locator("#generate-status")).to_contain_text("step")  # in the tab that was open
    choose(page, "Caption")
    expect(page.locator("#caption-result .said")).to_have_text(said)
    expect(page.locator("#caption-photo img")).to_be_visible()
    choose(page, "Generate")
    expect(page.locator("#generate-status")).to_contain_text("step")
    expect(page.locator("#generate-prompt textarea")).to_have_value(prompt)
    page.locator("#generate-stop").click()
    expect(page.locator("#generate-status")).to_have_text(text("page.stopped"))


def test_another_visitor_sees_nothing_of_it(visit: Visit) -> None:
    run_example(visit(), "Classify")
    other = visit()
    expect(other.locator("#classify-result")).to_have_text(text("classify.empty"))
    expect(other.locator("#classify-made")).to_have_text("")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_all_tabs_and_nothing_is_wider_than_it(visit: Visit, theme: str) -> None:
    page = visit(theme=theme, width=390, height=844)
    for tab in ("Classify", "Caption", "Ask", "Generate"):
        choose(page, tab)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize(("width", "height"), [(768, 1024), (844, 390), (320, 568)])
def test_on_any_screen_labels_can_be_read_and_the_result_comes_into_view(visit: Visit, width: int, height: int) -> None:
    page = visit(width=width, height=height)
    expect(page.locator("#tabs [role=tab]:visible")).to_have_count(4)
    run_example(page, "Classify", 1)
    expect(page.locator("#classify-result h3")).to_be_in_viewport()
    label = page.locator("#classify-result td").first.bounding_box()
    assert label and label["width"] > 60
    for button in ("run", "stop"):
        box = page.locator(f"#classify-{button}").bounding_box()
        assert box and box["x"] + box["width"] <= width - 8


def test_what_has_the_focus_is_seen(page: Page) -> None:
    page.locator("#classify-model input").click()
    page.keyboard.type("typed over it")
    expect(page.locator("#classify-model input")).to_have_value("typed over it")
    for field in ("#classify-address input", "#classify-labels textarea", "#classify-model input"):
        page.locator(field).focus()
        assert "solid" in page.locator(field).evaluate("(one) => getComputedStyle(one).outline")


def _many_steps(page: Page, steps: int = 100) -> None:
    """Starts a drawing that takes minutes."""
    open_options(page, "Generate")
    page.locator("#generate-steps input[type=number]").fill(str(steps))
    page.locator("#generate-count input[type=number]").fill("4")
    page.locator("#generate-prompt textarea").fill("a red apple")
    page.keyboard.press("Enter")
    expect(page.locator("#generate-status")).to_contain_text("step")


def _jobs(server: Server, task: str) -> int:
    """How many jobs of a task have ended, by the log."""
    lines = server.log.read_text("utf-8", errors="replace").splitlines()
    return sum(json.loads(line[line.index("{") :])["task"] == task for line in lines if "quartet.jobs {" in line)


def test_a_visitor_whose_browser_is_chinese_is_spoken_to_in_chinese(visit: Visit) -> None:
    page, english = visit("Generate", locale="zh-CN"), visit("Classify")
    page.locator("#generate-examples .gallery-item").first.click()
    finished(page, "Generate")
    expect(page.get_by_label(text("generate.prompt", "zh"))).to_have_value(text("generate.examples.apple", "zh"))
    read = text("notes.read_as", "zh", prompt="a red apple")
    expect(page.locator("#generate-detail")).to_contain_text(read)
    choose(page, "Classify", "zh")
    page.locator("#classify-run").click()
    expect(page.locator("#classify-status")).to_have_text(text("errors.photo_missing", "zh"))
    english.locator("#classify-run").click()
    expect(english.locator("#classify-status")).to_have_text(text("errors.photo_missing", "en"))
