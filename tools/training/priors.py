"""What the words of a question alone tell of its answer: the teacher for questions that come without a photo.

Half of VQA is answered right without looking (Goyal et al., Making the V in VQA Matter, 2017). A bag of n-grams and
MiniLM's mean vector find that sooner than a language model does, which then learns from their answers (Kim and Rush,
Sequence-Level Knowledge Distillation, 2016). No question is answered by a teacher that has learned from it."""

import json
import re
from collections import Counter
from itertools import accumulate, chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipelines.known import embed
from tools.training.features import FOLDER
from tools.training.place_words import text_encoder

FOLDS, EPOCHS, BATCH, WIDTH = 4, 6, 256, 256
COMMON = 2500  # answers that are chosen from


class Teacher(nn.Module):
    """The logits [n, answers] of questions, from the numbers of each one's n-grams and from their vectors [n, 384]."""

    def __init__(self, grams: int, answers: int) -> None:
        super().__init__()
        self.grams = nn.EmbeddingBag(grams, WIDTH, mode="sum")
        nn.init.normal_(self.grams.weight, 0, 0.02)
        self.vector, self.answer, self.drop = nn.Linear(384, WIDTH), nn.Linear(WIDTH, answers), nn.Dropout(0.5)

    def forward(self, grams: list[list[int]], vectors: torch.Tensor) -> torch.Tensor:
        starts = torch.tensor([0, *accumulate(map(len, grams[:-1]))])
        bags = self.grams(torch.tensor([*chain(*grams)]), starts)  # [n, WIDTH]
        hidden = nn.functional.gelu(bags + self.vector(self.drop(vectors)))
        out: torch.Tensor = self.answer(self.drop(hidden))
        return out


def ngrams(question: str) -> list[str]:
    words = ["<start>", *re.findall("[a-z0-9']+", question.lower())]
    return [" ".join(words[i : i + n]) for n in (1, 2, 3, 4) for i in range(len(words) - n + 1)]


@torch.inference_mode()
def vectors(questions: list[str]) -> torch.Tensor:
    """MiniLM's vectors, each of their numbers about 0 with deviation 1, [n, 384]."""
    text, out = text_encoder(), torch.zeros(len(questions), 384)
    order = sorted(range(len(questions)), key=lambda i: len(questions[i]))  # alike in length: little padding
    for at in range(0, len(order), 64):
        part = order[at : at + 64]
        out[part] = embed([questions[i] for i in part], *text)
    return (out - out.mean(0)) / out.std(0)


def answers(rows: list[dict]) -> list[str]:
    """The likeliest answer to each row's "question", learned from the "answers" of the others; kept in a file."""
    file = FOLDER / "priors.json"
    if file.exists() and len(kept := json.loads(file.read_text("utf-8"))) == len(rows):
        return list(kept)
    seen, split = vectors([row["question"] for row in rows]), [ngrams(row["question"]) for row in rows]
    counts = Counter(gram for grams in split for gram in {*grams})
    number = {gram: i for i, gram in enumerate(gram for gram, n in counts.items() if n > 3)}
    grams = [[number[gram] for gram in one if gram in number] for one in split]
    chosen = [answer for answer, _ in Counter(said for row in rows for said in row["answers"]).most_common(COMMON)]
    place = {answer: i for i, answer in enumerate(chosen)}

    def logits(part: NDArray[np.int64]) -> torch.Tensor:  # [n, answers]
        return teacher([grams[i] for i in part], seen[part])

    def truth(part: NDArray[np.int64]) -> torch.Tensor:  # [n, answers]: the share of people who said it
        target = torch.zeros(len(part), len(chosen))
        for line, i in zip(target, part, strict=True):
            for said in rows[i]["answers"]:
                if said in place:
                    line[place[said]] += 1 / len(rows[i]["answers"])
        return target

    def batches(some: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return np.array_split(some, max(1, len(some) // BATCH))

    out, random = [""] * len(rows), np.random.default_rng(0)
    for mine in np.array_split(random.permutation(len(rows)), FOLDS):
        others = np.setdiff1d(np.arange(len(rows)), mine)
        teacher = Teacher(len(number), len(chosen))
        optimizer = torch.optim.AdamW(teacher.parameters(), 1e-3, weight_decay=0.02)
        decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, EPOCHS * len(batches(others)))
        for _ in range(EPOCHS):
            for part in batches(random.permutation(others)):
                optimizer.zero_grad()
                nn.functional.cross_entropy(logits(part), truth(part)).backward()
                optimizer.step()
                decay.step()
        teacher.eval()
        with torch.inference_mode():
            for part in batches(mine):
                for i, best in zip(part, logits(part).argmax(-1).tolist(), strict=True):
                    out[i] = chosen[best]
        agree = np.mean([min(1, rows[i]["answers"].count(out[i]) / 3) for i in mine])
        print(f"answers by words alone: {agree:.3f} right of {len(mine)}", flush=True)
    file.write_text(json.dumps(out), "utf-8")
    return out
