"""What the words of a question alone tell of its answer: the teacher for questions that come without a photo.

Half of VQA is answered right without looking (Goyal et al., Making the V in VQA Matter, 2017). A bag of n-grams and
MiniLM's mean vector find that sooner than a language model does, which then learns from their answers (Kim and Rush,
Sequence-Level Knowledge Distillation, 2016). No question is answered by a teacher that has learned from it."""

import json
import re
from collections import Counter
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from tools.training.features import FOLDER
from tools.training.place_words import text_encoder

FOLDS, EPOCHS, BATCH, WIDTH = 4, 6, 256, 256
COMMON = 2500  # answers that are chosen from


class Teacher(nn.Module):
    """The logits [n, answers] of questions: their n-grams in a row, where each question's start, and vectors [n, 384]."""

    def __init__(self, grams: int, answers: int) -> None:
        super().__init__()
        self.grams = nn.EmbeddingBag(grams, WIDTH, mode="sum")
        nn.init.normal_(self.grams.weight, 0, 0.02)
        self.vector, self.answer, self.drop = nn.Linear(384, WIDTH), nn.Linear(WIDTH, answers), nn.Dropout(0.5)

    def forward(self, grams: torch.Tensor, starts: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        hidden = nn.functional.gelu(self.grams(grams, starts) + self.vector(self.drop(vectors)))
        out: torch.Tensor = self.answer(self.drop(hidden))
        return out


def ngrams(question: str) -> list[str]:
    words = ["<start>", *re.findall("[a-z0-9']+", question.lower())]
    return [" ".join(words[i : i + n]) for n in (1, 2, 3, 4) for i in range(len(words) - n + 1)]


@torch.inference_mode()
def vectors(questions: list[str]) -> torch.Tensor:
    """MiniLM's mean vectors, each of their numbers about 0 with deviation 1, [n, 384]."""
    encoder, tokenizer = text_encoder()
    order, out = sorted(range(len(questions)), key=lambda i: len(questions[i])), torch.zeros(len(questions), 384)
    for at in range(0, len(order), 64):
        part = order[at : at + 64]
        batch = tokenizer(
            [questions[i] for i in part], padding=True, truncation=True, max_length=32, return_tensors="pt"
        )
        shown = batch["attention_mask"][..., None]  # [64, tokens, 1]
        out[part] = (encoder(**batch).last_hidden_state * shown).sum(1) / shown.sum(1)
    return (out - out.mean(0)) / out.std(0)


def answers(rows: list[dict]) -> list[str]:
    """The likeliest answer to each row's "question", learned from the "answers" of the others; kept in a file."""
    file = FOLDER / "priors.json"
    if file.exists() and len(kept := json.loads(file.read_text("utf-8"))) == len(rows):
        return list(kept)
    seen, split = vectors([row["question"] for row in rows]), [ngrams(row["question"]) for row in rows]
    common = [gram for gram, n in Counter(gram for grams in split for gram in {*grams}).items() if n > 3]
    number = {gram: i for i, gram in enumerate(common)}
    grams = [[number[gram] for gram in one if gram in number] for one in split]
    chosen = [answer for answer, _ in Counter(said for row in rows for said in row["answers"]).most_common(COMMON)]
    place = {answer: i for i, answer in enumerate(chosen)}
    truth = [Counter(place[said] for said in row["answers"] if said in place) for row in rows]

    def logits(teacher: Teacher, part: list[int]) -> torch.Tensor:
        starts = torch.tensor([0, *np.cumsum([len(grams[i]) for i in part])[:-1]])
        return teacher(torch.tensor([gram for i in part for gram in grams[i]]), starts, seen[part])

    out, random = [""] * len(rows), np.random.default_rng(0)
    ends = np.linspace(0, len(rows), FOLDS + 1).astype(int)
    mixed = random.permutation(len(rows))
    for start, end in pairwise(ends):
        mine, others = mixed[start:end].tolist(), np.concatenate([mixed[:start], mixed[end:]])
        teacher = Teacher(len(common), len(chosen))
        optimizer = torch.optim.AdamW(teacher.parameters(), 1e-3, weight_decay=0.02)
        decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, EPOCHS * len(others) // BATCH)
        for _ in range(EPOCHS):
            for at in range(0, len(others) - BATCH, BATCH):
                part = others[at : at + BATCH].tolist()
                target = torch.zeros(BATCH, len(chosen))
                for line, i in zip(target, part, strict=True):
                    for answer, n in truth[i].items():
                        line[answer] = n / len(rows[i]["answers"])
                optimizer.zero_grad()
                nn.functional.cross_entropy(logits(teacher, part), target).backward()
                optimizer.step()
                decay.step()
            random.shuffle(others)
        teacher.eval()
        with torch.inference_mode():
            for at in range(0, len(mine), BATCH):
                part = mine[at : at + BATCH]
                for i, best in zip(part, logits(teacher, part).argmax(-1).tolist(), strict=True):
                    out[i] = chosen[best]
        agree = np.mean([min(1, rows[i]["answers"].count(out[i]) / 3) for i in mine])
        print(f"answers by words alone: {agree:.3f} right of {len(mine)}", flush=True)
    file.write_text(json.dumps(out), "utf-8")
    return out
