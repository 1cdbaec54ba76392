"""On a ZeroGPU Space the work goes to a worker with a graphics card; a stand-in for its package lends one."""

import importlib
import os
import pickle
import sys
import threading
import time
import types
from collections.abc import Callable, Generator, Iterator
from typing import Any

import gradio as gr
import pytest

from pipelines import IMPORTING, catalog, runtime, zero
from pipelines.errors import UserError
from pipelines.results import Caption, Partial

CAT = str(catalog.ROOT / "assets" / "examples" / "cat.jpg")


class Spaces(types.ModuleType):
    """The package `spaces`: its workers take and give only what can be pickled."""

    def __init__(self) -> None:
        super().__init__("spaces")
        self.lent: list[int] = []  # seconds
        self.weights_were_there: list[bool] = []
        self.ended = 0
        self.fault: Exception | None = None  # of the package's own, before a worker is there

    def GPU(self, duration: Callable[..., int]) -> Callable[..., Callable[..., Generator]]:
        def decorate(task: Callable[..., Generator]) -> Callable[..., Generator]:
            def run(*given: Any) -> Generator[Any, None, None]:
                values = pickle.loads(pickle.dumps(given))
                if self.fault:
                    raise self.fault
                self.lent.append(duration(*values))
                self.weights_were_there.append(runtime.loaded(catalog.find(values[0], values[1].get("model"))))
                try:
                    for event in task(*values):
                        yield pickle.loads(pickle.dumps(event))
                finally:
                    self.ended += 1

            return run

        return decorate


@pytest.fixture
def spaces(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spaces]:
    package = Spaces()
    monkeypatch.setitem(sys.modules, "spaces", package)
    importlib.reload(zero)
    yield package
    monkeypatch.delitem(sys.modules, "spaces")
    importlib.reload(zero)


def test_a_worker_gives_the_same_events(spaces: Spaces) -> None:
    runtime.unload(catalog.find("caption"))
    there = list(zero.stream("caption", photo=CAT))
    assert spaces.lent == [10] and spaces.weights_were_there == [True]
    result = there[-1]
    assert isinstance(result, Caption) and any(isinstance(event, Partial) for event in there)
    here = list(importlib.import_module("pipelines.caption").stream(CAT))
    assert result.text == here[-1].text


def test_a_refusal_crosses_as_a_sentence(spaces: Spaces) -> None:
    with pytest.raises(UserError, match="the most"):
        list(zero.stream("caption", photo=CAT, prompt="a" * 3000))
    with pytest.raises(UserError, match="from 1 to 100"):
        list(zero.stream("generate", prompt="a cat", steps="many"))
    assert len(spaces.lent) == 2


def test_the_thread_of_a_job_loads_as_the_package_wants(spaces: Spaces, monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[int] = []
    modes = types.ModuleType("spaces.zero.torch")
    modes.__dict__["enter_mode"] = lambda: entered.append(threading.get_ident())
    monkeypatch.setitem(sys.modules, "spaces.zero.torch", modes)
    job = threading.Thread(target=lambda: list(zero.stream("caption", photo=CAT)))
    job.start()
    job.join()
    assert entered == [job.ident]


def test_what_the_package_refuses_is_a_sentence(spaces: Spaces) -> None:
    spaces.fault = gr.Error("You have used up your seconds. <a href='https://x.y'>Log in</a>.", title="ZeroGPU quota")
    with pytest.raises(UserError, match=r"You have used up your seconds\. Log in\.$"):
        list(zero.stream("caption", photo=CAT))
    spaces.fault = ValueError("ours")
    with pytest.raises(ValueError, match="ours"):
        list(zero.stream("caption", photo=CAT))


def test_closing_ends_the_worker(spaces: Spaces) -> None:
    events = zero.stream("caption", photo=CAT)
    next(event for event in events if isinstance(event, Partial))
    events.close()
    assert spaces.ended == 1


def test_a_worker_that_is_forked_while_a_model_loads_can_load_one(spaces: Spaces) -> None:
    loads = threading.Event()

    def load() -> None:
        with IMPORTING:
            loads.set()
            time.sleep(0.2)

    threading.Thread(target=load).start()
    loads.wait()
    if not (worker := os.fork()):
        os._exit(0 if IMPORTING.acquire(timeout=2) else 1)
    assert os.waitpid(worker, 0)[1] == 0


def test_seconds_grow_with_the_model_and_the_request() -> None:
    small = zero.seconds("generate", {"prompt": "a cat"})
    large = zero.seconds("generate", {"prompt": "a cat", "model": "z-image-turbo"})
    assert small < large < zero.seconds("generate", {"model": "z-image-turbo", "count": 4}) <= zero.LONGEST
    assert zero.seconds("ask", {"model": "qwen3-vl-2b"}) < zero.seconds(
        "ask", {"model": "qwen3-vl-2b", "max_words": 200}
    )


def test_without_the_package_the_work_runs_here() -> None:
    assert zero.worker is None and "spaces" not in sys.modules
