"""What the words of a question alone tell of its answer: the teacher for questions that come without a photo.

Half of VQA is answered right without looking (Goyal et al., Making the V in VQA Matter, 2017). A bag of n-grams and
MiniLM's mean vector find that sooner than a language model does, which knows the questions by heart before it knows what
they have in common; so it is taught by answers to questions that nobody asked, of which there is no end (Kim and Rush,
Sequence-Level Knowledge Distillation, 2016)."""

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate, chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipelines.known import embed
from tools.training.features import FOLDER
from tools.training.place_words import text_encoder

EPOCHS, BATCH, WIDTH = 6, 256, 256
COMMON = 2500  # answers that are chosen from
START, LONGEST = "<start>", 20  # of a question that is made up: what stands before its first word, its words at most


class Teacher(nn.Module):
    """The logits [n, answers] of questions, from the numbers of each one's n-grams and from `vectors`: the questions' own
    [n, 384], and of what else is known, of the `widths` that are given."""

    def __init__(self, grams: int, answers: int, widths: Sequence[int] = (384,)) -> None:
        super().__init__()
        self.grams = nn.EmbeddingBag(grams, WIDTH, mode="sum")
        nn.init.normal_(self.grams.weight, 0, 0.02)
        self.vectors = nn.ModuleList(nn.Linear(width, WIDTH) for width in widths)
        self.answer, self.drop = nn.Linear(WIDTH, answers), nn.Dropout(0.5)

    def forward(self, grams: list[list[int]], *vectors: torch.Tensor) -> torch.Tensor:
        starts = torch.tensor([0, *accumulate(map(len, grams[:-1]))])
        hidden = self.grams(torch.tensor([*chain(*grams)]), starts)  # [n, WIDTH]
        for project, vector in zip(self.vectors, vectors, strict=True):
            hidden = hidden + project(self.drop(vector))
        out: torch.Tensor = self.answer(self.drop(nn.functional.gelu(hidden)))
        return out


def ngrams(question: str) -> list[str]:
    words = [START, *re.findall("[a-z0-9']+", question.lower())]
    return [" ".join(words[i : i + n]) for n in (1, 2, 3, 4) for i in range(len(words) - n + 1)]


@torch.inference_mode()
def vectors(questions: list[str]) -> torch.Tensor:
    """MiniLM's vectors, each of their numbers about 0 with deviation 1, [n, 384]."""
    text, out = text_encoder(), torch.zeros(len(questions), 384)
    order = sorted(range(len(questions)), key=lambda i: len(questions[i]))  # alike in length: little padding
    for at in range(0, len(order), 64):
        part = order[at : at + 64]
        out[part] = embed([questions[i] for i in part], *text)
    return standard(out)


def standard(values: torch.Tensor) -> torch.Tensor:
    """Each number about 0 with deviation 1, over the first dimension."""
    return (values - values.mean(0)) / (values.std(0) + 1e-6)


def numbered(questions: list[str], least: int, asked: int | None = None) -> tuple[list[list[int]], int]:
    """The numbers of each question's n-grams that `least` of the first `asked` questions have, and how many such there are."""
    split = [ngrams(question) for question in questions]
    counts = Counter(gram for grams in split[:asked] for gram in {*grams})
    number = {gram: i for i, gram in enumerate(gram for gram, n in counts.items() if n >= least)}
    return [[number[gram] for gram in one if gram in number] for one in split], len(number)


def batches(some: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return np.array_split(some, max(1, len(some) // size))


def fit(
    teacher: Teacher,
    loss: Callable[[NDArray[np.int64]], torch.Tensor],
    some: NDArray[np.int64],
    epochs: int,
    size: int,
    random: np.random.Generator,
) -> None:
    """Trains on `some` rows, whose loss is told for each batch of them."""
    optimizer = torch.optim.AdamW(teacher.parameters(), 1e-3, weight_decay=0.02)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, epochs * len(batches(some, size)))
    for _ in range(epochs):
        for part in batches(random.permutation(some), size):
            optimizer.zero_grad()
            loss(part).backward()
            optimizer.step()
            decay.step()
    teacher.eval()


def unasked(questions: list[str], count: int, rng: random.Random) -> list[str]:
    """Questions that nobody asked: each word is drawn from those that follow the two before it (Shannon, A Mathematical
    Theory of Communication, 1948). Half of them make sense."""
    follow: dict[tuple[str, str], list[str]] = {}
    for question in questions:
        words = [START, START, *question.split(), ""]
        for first, second, third in zip(words, words[1:], words[2:], strict=False):
            follow.setdefault((first, second), []).append(third)
    made, known = list[str](), {*questions}
    while len(made) < count:
        words = [START, START]
        while words[-1] and len(words) < LONGEST:
            words.append(rng.choice(follow[words[-2], words[-1]]))
        if not words[-1] and (question := " ".join(words[2:-1])) not in known:
            made.append(question)
    return made


def exchanges(asked: list[list[dict]], count: int) -> list[list[tuple[str, str]]]:
    """`count` questions like those of each kind that nobody asked, and the likeliest answer of one who has learned from all
    that were asked, and from the "answers" to them; kept in a file."""
    file = FOLDER / "unasked.json"
    if file.exists():
        return [[(question, answer) for question, answer in kind] for kind in json.loads(file.read_text("utf-8"))]
    rows, rng = list(chain(*asked)), random.Random(0)
    made = [unasked([row["question"] for row in kind], count, rng) for kind in asked]
    questions = [*(row["question"] for row in rows), *chain(*made)]
    seen, (grams, known) = vectors(questions), numbered(questions, 4, len(rows))
    chosen = [answer for answer, _ in Counter(said for row in rows for said in row["answers"]).most_common(COMMON)]
    place = {answer: i for i, answer in enumerate(chosen)}
    teacher = Teacher(known, len(chosen))

    def logits(part: NDArray[np.int64]) -> torch.Tensor:  # [n, answers]
        return teacher([grams[i] for i in part], seen[part])

    def loss(part: NDArray[np.int64]) -> torch.Tensor:
        target = torch.zeros(len(part), len(chosen))  # the share of people who said it
        for line, i in zip(target, part, strict=True):
            for said in rows[i]["answers"]:
                if said in place:
                    line[place[said]] += 1 / len(rows[i]["answers"])
        return nn.functional.cross_entropy(logits(part), target)

    fit(teacher, loss, np.arange(len(rows)), EPOCHS, BATCH, np.random.default_rng(0))
    with torch.inference_mode():
        parts = batches(np.arange(len(rows), len(questions)), BATCH)
        likeliest = iter([chosen[i] for part in parts for i in logits(part).argmax(-1).tolist()])
    told = [[(question, next(likeliest)) for question in kind] for kind in made]
    file.write_text(json.dumps(told), "utf-8")
    return told
