"""Jobs: one at a time, found again, stopped, and only for their owner."""

import threading
import types
from collections.abc import Iterator
from typing import Any

import pytest

import pipelines
from pipelines.errors import UserError
from pipelines.results import Caption, Progress
from ui import parts
from ui.jobs import IN_ALL, PER_OWNER, WATCHERS, Jobs

RESULT = Caption(model="m", revision="r", device="d", seconds=0.0, text="a dog", words=(), confidence=1.0)


class Task:
    """A task that goes on as long as it is not let go, and knows whether its generator was closed."""

    def __init__(self) -> None:
        self.go, self.began, self.closed = threading.Event(), threading.Event(), threading.Event()

    def stream(self, fail: Exception | None = None, **_: Any) -> Iterator[Any]:
        try:
            self.began.set()
            while not self.go.wait(0.005):
                yield Progress("looking")
            if fail:
                raise fail
            yield RESULT
        finally:
            self.closed.set()


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Iterator[Task]:
    made = Task()
    monkeypatch.setattr(pipelines, "task", lambda name: types.SimpleNamespace(stream=made.stream))
    yield made
    made.go.set()


def test_a_job_ends_with_its_result_and_can_be_watched_again(task: Task) -> None:
    jobs = Jobs()
    job = jobs.start("me", "caption")
    task.go.set()
    assert list(jobs.watch(job, "me"))[-1].result == RESULT
    assert list(jobs.watch(job, "me"))[-1].result == RESULT


def test_of_many_watchers_of_a_job_the_last_ones_stay(task: Task) -> None:
    jobs = Jobs()
    job = jobs.start("me", "caption")
    ends: list[str] = []
    began = threading.Semaphore(0)

    def watch() -> None:
        states = []
        for snapshot in jobs.watch(job, "me"):
            states.append(snapshot.state)
            began.release()
        ends.append(states[-1])

    threads = [threading.Thread(target=watch) for _ in range(WATCHERS + 4)]
    for thread in threads:
        thread.start()
        began.acquire(timeout=5)
    for thread in threads[:4]:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads[:4]) and all(thread.is_alive() for thread in threads[4:])
    task.go.set()
    for thread in threads:
        thread.join(5)
    assert ends.count("done") == WATCHERS


@pytest.mark.parametrize("owner", [None, 5, {"a": 1}, "", "x" * 1000])
def test_who_has_no_secret_of_ours_gets_one(owner: Any, task: Task) -> None:
    made = parts.new_owner(owner)
    assert isinstance(made, str) and 16 < len(made) < 64 and parts.new_owner(made) == made
    with pytest.raises(UserError):
        next(Jobs().watch("job", owner))


def test_stop_closes_the_generator(task: Task) -> None:
    jobs = Jobs()
    job = jobs.start("me", "caption")
    assert task.began.wait(5)
    jobs.stop(job, "me")
    assert list(jobs.watch(job, "me"))[-1].state == "stopped"
    assert task.closed.wait(5)


def test_another_visitor_can_neither_see_nor_stop_it(task: Task) -> None:
    jobs = Jobs()
    job = jobs.start("me", "caption")
    for action in (
        lambda: list(jobs.watch(job, "you")),
        lambda: jobs.stop(job, "you"),
        lambda: jobs.forget(job, "you"),
    ):
        with pytest.raises(UserError, match="no longer kept"):
            action()
    task.go.set()
    assert list(jobs.watch(job, "me"))[-1].state == "done"


def test_the_second_waits_in_line_and_goes_on_when_the_first_ends(task: Task) -> None:
    jobs = Jobs()
    first, second = jobs.start("me", "caption"), jobs.start("you", "caption")
    waiting = next(jobs.watch(second, "you"))
    assert (waiting.state, waiting.place) == ("waiting", 1)
    task.go.set()
    assert list(jobs.watch(first, "me"))[-1].state == "done"
    assert list(jobs.watch(second, "you"))[-1].state == "done"


def test_a_waiting_job_can_be_stopped(task: Task) -> None:
    jobs = Jobs()
    jobs.start("me", "caption")
    second = jobs.start("me", "caption")
    jobs.stop(second, "me")
    assert list(jobs.watch(second, "me"))[-1].state == "stopped"


def test_caps_are_sentences(task: Task) -> None:
    jobs = Jobs()
    for _ in range(PER_OWNER):
        jobs.start("me", "caption")
    with pytest.raises(UserError, match="in line already"):
        jobs.start("me", "caption")
    for i in range(IN_ALL - PER_OWNER):
        jobs.start(f"visitor {i}", "caption")
    with pytest.raises(UserError, match="try again in a minute"):
        jobs.start("one too many", "caption")


def test_a_fault_of_ours_shows_the_request_and_no_traceback(task: Task) -> None:
    jobs = Jobs()
    job = jobs.start("me", "caption", fail=ZeroDivisionError("secret"))
    task.go.set()
    last = list(jobs.watch(job, "me"))[-1]
    assert last.error is not None and job[:8] in last.error.sentence() and "secret" not in last.error.sentence()
    assert list(jobs.watch(jobs.start("me", "caption"), "me"))[-1].state == "done"


def test_a_forgotten_job_is_gone(task: Task) -> None:
    jobs = Jobs()
    job = jobs.start("me", "caption")
    jobs.forget(job, "me")
    with pytest.raises(UserError):
        list(jobs.watch(job, "me"))


def test_who_watches_a_job_that_is_forgotten_sees_no_more_of_it(task: Task) -> None:
    jobs = Jobs()
    job = jobs.start("me", "caption")
    watching = jobs.watch(job, "me")
    next(watching)
    jobs.forget(job, "me")
    with pytest.raises(UserError, match="no longer kept"):
        list(watching)
    assert task.closed.wait(5) or not task.began.is_set()


def test_a_forgotten_job_counts_no_longer_though_its_step_still_runs(task: Task) -> None:
    jobs = Jobs()
    before = [jobs.start("me", "caption") for _ in range(PER_OWNER)]
    jobs.forget(before[0], "me")
    job = jobs.start("me", "caption")
    for one in before[1:]:
        jobs.forget(one, "me")
    task.go.set()
    assert [*jobs.watch(job, "me")][-1].result == RESULT


def test_the_log_names_an_offered_model_and_none_that_a_visitor_wrote(
    task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = Jobs()
    task.go.set()
    with caplog.at_level("INFO", "quartet.jobs"):
        for model in ("quartet-vlm", "my secret words", ["my secret words"]):
            list(jobs.watch(jobs.start("me", "caption", model=model, fail=UserError("stopped")), "me"))
    assert '"quartet-vlm"' in caplog.text and "secret" not in caplog.text
