"""Times the default models on this machine: loading, the first sign of a result, the whole result. `make bench`."""

import statistics
import time
from collections.abc import Iterator
from typing import Any

import pipelines
from pipelines import catalog, device, runtime
from pipelines.results import Partial, Result

PHOTO = catalog.ROOT / "assets" / "examples" / "cat.jpg"
REQUESTS: dict[str, tuple[Any, ...]] = {
    "classify": (PHOTO, ["a cat", "a dog", "a car"]),
    "caption": (PHOTO,),
    "ask": (PHOTO, "what color is the cat?"),
    "generate": ("a red apple",),
}
REPEATS = 5


def timed(stream: Iterator[Any]) -> tuple[float, float]:
    """Seconds to the first word or picture, and to the result."""
    start, first = time.perf_counter(), 0.0
    for event in stream:
        shown = isinstance(event, Result) or (isinstance(event, Partial) and (event.text or event.picture is not None))
        if shown and not first:
            first = time.perf_counter() - start
    return first, time.perf_counter() - start


def main() -> None:
    print(f"{device.pick().kind}, {device.pick().reason}\n")
    print("| task | model | load, s | first sign, s | whole, s |\n|---|---|---|---|---|")
    for name, request in REQUESTS.items():
        task, row = pipelines.task(name), catalog.find(name)
        start = time.perf_counter()
        with runtime.lend(row):
            loading = time.perf_counter() - start
        timed(task.stream(*request))  # the first request also builds kernels
        first, whole = zip(*(timed(task.stream(*request)) for _ in range(REPEATS)), strict=True)
        times = f"{loading:.2f} | {statistics.median(first):.2f} | {statistics.median(whole):.2f}"
        print(f"| {name} | {row.id} | {times} |", flush=True)


if __name__ == "__main__":
    main()
