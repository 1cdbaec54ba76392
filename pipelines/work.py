"""Turns a blocking call with a callback into a generator: closing the generator ends the call within one step."""

import queue
import threading
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import torch

Event = TypeVar("Event")
Return = TypeVar("Return")


class Stopped(BaseException):
    """Raised inside the call by its `emit` once nobody listens any more; a BaseException, so no library swallows it."""


def stream(call: Callable[[Callable[[Event], None]], Return]) -> Generator[Event, None, Return]:
    """Runs `call(emit)` in a thread; yields what it emits, returns what it returns and raises what it raises.

    The thread has ended when the generator is closed, so whatever the call held is free."""
    events: queue.Queue[tuple[str, Any]] = queue.Queue()
    stop = threading.Event()

    def emit(event: Event) -> None:
        if stop.is_set():
            raise Stopped
        events.put(("event", event))

    def target() -> None:
        try:
            with torch.inference_mode():
                events.put(("return", call(emit)))
        except Stopped:
            pass
        except BaseException as error:
            events.put(("raise", error))

    thread = threading.Thread(target=target, name="work", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = events.get()
            if kind == "event":
                yield value
            elif kind == "return":
                return value
            else:
                raise value
    finally:
        stop.set()
        thread.join()
