"""Models are loaded once, lent, and evicted when memory runs short."""

import threading
import time
from dataclasses import replace

import pytest

from pipelines import catalog
from pipelines.device import Device
from pipelines.errors import UserError
from pipelines.loaders import Loaded
from pipelines.runtime import Runtime

ROW = catalog.rows()[0]


def row(name: str, size: int = 100) -> catalog.Row:
    return replace(ROW, id=name, name=name, memory_bytes=size)


class Loads:
    """Counts loads by model; each takes a moment, so that threads meet."""

    def __init__(self) -> None:
        self.count: dict[str, int] = {}

    def __call__(self, wanted: catalog.Row) -> Loaded:
        time.sleep(0.02)
        self.count[wanted.id] = self.count.get(wanted.id, 0) + 1
        return Loaded(wanted, Device("cpu", "fp32", ""), model=object())


def test_eight_threads_load_a_model_once() -> None:
    loads = Loads()
    runtime = Runtime(loads, budget=1000)
    seen = []

    def borrow() -> None:
        with runtime.lend(row("a")) as loaded:
            seen.append(loaded)

    threads = [threading.Thread(target=borrow) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads.count == {"a": 1}
    assert len(seen) == 8 and len({id(loaded) for loaded in seen}) == 1


def test_the_least_recently_used_model_goes_first() -> None:
    loads = Loads()
    runtime = Runtime(loads, budget=250)
    for name in ("a", "b", "a", "c"):  # c needs room: b was used longest ago
        with runtime.lend(row(name)):
            pass
    assert [runtime.loaded(row(name)) for name in "abc"] == [True, False, True]


def test_a_model_in_use_stays() -> None:
    runtime = Runtime(Loads(), budget=150)
    with runtime.lend(row("a")), pytest.raises(UserError) as refused, runtime.lend(row("b")):
        pass
    assert refused.value.code == "memory_busy"
    assert runtime.loaded(row("a"))


def test_a_model_that_cannot_fit_is_refused_before_loading() -> None:
    loads = Loads()
    runtime = Runtime(loads, budget=1_000_000)
    with pytest.raises(UserError) as refused, runtime.lend(row("huge", 3_000_000_000)):
        pass
    assert refused.value.code == "model_too_large"
    assert "3.0 GB" in str(refused.value) and "1.0 MB" in str(refused.value)
    assert loads.count == {}


def test_a_failed_load_leaves_nothing_behind() -> None:
    loads = Loads()
    fail = True

    def load(wanted: catalog.Row) -> Loaded:
        if fail:
            raise UserError("model_broken", model=wanted.name)
        return loads(wanted)

    runtime = Runtime(load, budget=1000)
    with pytest.raises(UserError), runtime.lend(row("a")):
        pass
    fail = False
    with runtime.lend(row("a")):
        assert runtime.loaded(row("a"))


def test_unload_drops_a_model_only_while_nobody_uses_it() -> None:
    runtime = Runtime(Loads(), budget=1000)
    with runtime.lend(row("a")):
        assert not runtime.unload(row("a"))
    assert runtime.unload(row("a"))
    assert not runtime.loaded(row("a"))


def test_the_loading_model_is_named() -> None:
    inside, go = threading.Event(), threading.Event()

    def load(wanted: catalog.Row) -> Loaded:
        inside.set()
        go.wait(5)
        return Loaded(wanted, Device("cpu", "fp32", ""), model=object())

    runtime = Runtime(load, budget=1000)

    def borrow() -> None:
        with runtime.lend(row("a")):
            pass

    thread = threading.Thread(target=borrow)
    thread.start()
    assert inside.wait(5)
    assert runtime.loading() == ["a"]
    go.set()
    thread.join()
    assert runtime.loading() == []
