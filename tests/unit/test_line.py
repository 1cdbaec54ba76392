"""A job that fetches a model leaves the device to others meanwhile, and waits its turn again after that."""

import threading
import types
from collections.abc import Iterator
from typing import Any

import pytest

import pipelines
from pipelines.errors import UserError
from pipelines.results import Caption, Progress
from ui.jobs import PER_OWNER, Jobs

RESULT = Caption(model="m", revision="r", device="d", seconds=0.0, text="a dog", words=(), confidence=1.0)


class Stages:
    """A task that fetches while `fetch` is not set, then computes while `compute` is not."""

    def __init__(self) -> None:
        self.computing = 0
        self.most = 0  # that have computed at once

    def stream(self, fetch: threading.Event, compute: threading.Event, **_: Any) -> Iterator[Any]:
        while not fetch.wait(0.005):
            yield Progress("fetching")
        yield Progress("loading")
        self.computing += 1
        self.most = max(self.most, self.computing)
        try:
            while not compute.wait(0.005):
                yield Progress("looking")
            yield RESULT
        finally:
            self.computing -= 1


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    made = Stages()
    monkeypatch.setattr(pipelines, "task", lambda name: types.SimpleNamespace(stream=made.stream))
    return made


def event(*, done: bool = False) -> threading.Event:
    made = threading.Event()
    if done:
        made.set()
    return made


def until(jobs: Jobs, job: str, code: str) -> None:
    """Watches a job until it says `code`, or how it stands."""
    for snapshot in jobs.watch(job, "me"):
        if code in (snapshot.state, getattr(snapshot.event, "code", "")):
            return
    raise AssertionError(f"never {code}")


def test_others_compute_while_a_job_fetches(stages: Stages) -> None:
    jobs, fetch = Jobs(), event()
    first = jobs.start("me", "caption", fetch=fetch, compute=event(done=True))
    until(jobs, first, "fetching")
    second = jobs.start("me", "caption", fetch=event(done=True), compute=event(done=True))
    until(jobs, second, "done")
    fetch.set()
    until(jobs, first, "done")
    assert stages.most == 1


def test_after_the_fetch_it_waits_behind_the_others(stages: Stages) -> None:
    jobs, fetch, compute = Jobs(), event(), event()
    first = jobs.start("me", "caption", fetch=fetch, compute=event(done=True))
    until(jobs, first, "fetching")
    second = jobs.start("me", "caption", fetch=event(done=True), compute=compute)
    until(jobs, second, "looking")
    fetch.set()
    until(jobs, first, "waiting")
    compute.set()
    until(jobs, first, "done")
    assert stages.most == 1


@pytest.mark.parametrize("stage", ["fetching", "waiting"])
def test_it_can_be_stopped_at_each_stage(stages: Stages, stage: str) -> None:
    jobs, fetch, compute = Jobs(), event(), event()
    first = jobs.start("me", "caption", fetch=fetch, compute=compute)
    until(jobs, first, "fetching")
    second = jobs.start("me", "caption", fetch=event(done=True), compute=compute)
    if stage == "waiting":
        until(jobs, second, "looking")
        fetch.set()
        until(jobs, first, "waiting")
    jobs.stop(first, "me")
    until(jobs, first, "stopped")
    compute.set()
    until(jobs, second, "done")
    assert stages.most == 1


def test_a_job_that_fetches_counts_as_unfinished(stages: Stages) -> None:
    jobs, fetch = Jobs(), event()
    for _ in range(PER_OWNER):
        until(jobs, jobs.start("me", "caption", fetch=fetch, compute=event(done=True)), "fetching")
    with pytest.raises(UserError, match="in line already"):
        jobs.start("me", "caption", fetch=fetch, compute=fetch)
    fetch.set()
