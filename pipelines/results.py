"""What a task's `stream` yields: `Progress` and `Partial` while it works and, last, one of the four results."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import PIL.Image


@dataclass(frozen=True)
class Progress:
    """How far the work is. `code` names its sentence under `[progress]`; `total` 0 means that the end is not known."""

    code: str
    done: int = 0
    total: int = 0
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Word:
    """A word as written, with its probability (0 to 1) and `others` [(text, probability)], likeliest first."""

    text: str
    probability: float
    others: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Partial:
    """What there is so far: the text (Caption, Ask) or the picture of a step and those that are `finished`, of so many
    `pictures` (Generate)."""

    text: str = ""
    words: tuple[Word, ...] = ()
    picture: PIL.Image.Image | None = None
    step: int = 0
    steps: int = 0
    finished: "Pictures | None" = None
    pictures: int = 1


@dataclass(frozen=True)
class Score:
    """One label's three readings: cosine similarity, softmax probability, calibrated independent probability."""

    label: str
    cosine: float
    probability: float
    independent: float


@dataclass(frozen=True)
class Result:
    """What every result says of its making; `device` in words ("cpu, bf16"), `revision` "bundled" or a commit."""

    model: str
    revision: str
    device: str
    seconds: float


@dataclass(frozen=True)
class Classification(Result):
    """Scores in the order of `labels`; `top_k` is how many the visitor asked to see (None: all)."""

    labels: tuple[str, ...]
    cosine: tuple[float, ...]
    probability: tuple[float, ...]
    independent: tuple[float, ...]
    top_k: int | None = None
    notes: tuple[str, ...] = ()

    def top(self, k: int | None = None) -> list[Score]:
        """The `k` likeliest labels (all without `k`), best first."""
        rows = map(Score, self.labels, self.cosine, self.probability, self.independent)
        return sorted(rows, key=lambda score: score.cosine, reverse=True)[:k]


@dataclass(frozen=True)
class Caption(Result):
    """`confidence`: the geometric mean of the words' probabilities."""

    text: str
    words: tuple[Word, ...]
    confidence: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer(Caption):
    """`others`: other answers with the probability of each, likeliest first."""

    others: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Pictures(Result):
    """`recipes[i]` is all that makes `pictures[i]` again; it is also in the PNG's metadata (`inputs.RECIPE_KEY`). Its
    `drawn` is the prompt as the model reads it."""

    pictures: tuple[PIL.Image.Image, ...]
    seeds: tuple[int, ...]
    recipes: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()


Kind = TypeVar("Kind", bound=Result)


def last(events: Iterable[object], kind: type[Kind]) -> Kind:
    """Drains a `stream` and returns its result."""
    event = None
    for event in events:  # noqa: B007 - only the last one counts
        pass
    if not isinstance(event, kind):
        raise RuntimeError("the stream ended without a result")
    return event
