"""What a question's words and a look at the room tell of its answer: the teacher for questions about rooms.

DAQUAR asks eight questions about each of its rooms, which a language model soon knows by heart. A bag of n-grams and the
mean of what a tower sees answer better about rooms that are new to them, and can be asked any question about any room,
so there is no end of what to learn from (Kim and Rush, Sequence-Level Knowledge Distillation, 2016). Several such teachers
vote, none of which has learned from the room or from the question."""

import random
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from tools.training import features
from tools.training.features import FOLDER, rows
from tools.training.priors import Teacher, fit, numbered, standard, vectors
from tools.training.scenes import Exchange

FILE = FOLDER / "room-answers.npz"
FOLDS, EPOCHS, BATCH, TEACHERS = 4, 10, 64, 6
DRAWN, LIKELIEST = 2, 8  # answers drawn beside the likeliest, which is learnt so often: else all would be as sure
OWN, QUESTIONS = 6, 24  # of a room's own questions, and of all, in a step
SIDES = {"left": "right", "right": "left"}


def daquar(data: Path) -> dict[str, list[Exchange]]:
    found: dict[str, list[Exchange]] = {}
    for row in rows(data / "daquar" / "questions.jsonl"):
        found.setdefault(row["image"], []).append((row["question"], row["answer"].replace("_", " ")))
    return found


class Rooms:
    """Questions about rooms by the numbers of their photos, with people's and the teachers' answers."""

    def __init__(self, asked: Sequence[tuple[int, str, str]]) -> None:
        """`asked`: rooms, questions and people's answers."""
        self.asked = asked
        if not FILE.exists():
            words = list(dict.fromkeys(answer for *_, answer in asked))
            np.savez_compressed(FILE, words=np.array(words), table=table(asked, words))
        with np.load(FILE) as kept:
            self.words, self.table = kept["words"].tolist(), kept["table"]
        self.own: dict[int, list[int]] = {}
        for number, (room, *_) in enumerate(asked):
            self.own.setdefault(room, []).append(number)
        self.all = {room: np.flatnonzero(self.table[0, :, room] >= 0).tolist() for room in self.own}

    def talks(self, room: int, rng: random.Random) -> list[Exchange]:
        """Some of the room's own questions, half of them with people's answers, and some of other rooms'."""
        own = rng.sample(self.own[room], min(OWN, len(self.own[room])))
        chosen = own + rng.sample(self.all[room], QUESTIONS - len(own))
        people = {number for number in own if rng.random() < 0.5}
        return [
            (self.asked[n][1], self.asked[n][2] if n in people else self.words[rng.choice(self.votes(n, room))])
            for n in rng.sample(chosen, len(chosen))
        ]

    def votes(self, question: int, room: int) -> list[int]:
        likeliest, *drawn = self.table[:, question, room].tolist()
        return [likeliest] * LIKELIEST + drawn


def mirrored(exchanges: list[Exchange]) -> list[Exchange]:
    """What is said of a photo, said of its mirror image."""

    def turned(text: str) -> str:
        return re.sub(r"\b(left|right)\b", lambda found: SIDES[found[1]], text)

    return [(turned(question), turned(answer)) for question, answer in exchanges]


def table(asked: Sequence[tuple[int, str, str]], words: list[str]) -> NDArray[np.int16]:
    """The answers, as places in `words`, that the teachers give: the likeliest and DRAWN others, to each question about each
    room, [1 + DRAWN, questions, rooms]; -1 where a teacher has learned from one of the two. Six minutes on one core."""
    questions = [question for _, question, _ in asked]
    seen, (grams, known) = vectors(questions), numbered(questions, 3)
    look = standard(torch.from_numpy(features.load("means", "daquar", "plain")).float())
    truth = torch.tensor([words.index(answer) for *_, answer in asked])
    room, rng = np.array([room for room, *_ in asked]), np.random.default_rng(0)
    out = np.full((1 + DRAWN, len(asked), len(look)), -1, np.int16)

    def logits(part: NDArray[np.int64], rooms: NDArray[np.int64]) -> torch.Tensor:  # [n, answers]
        return teacher([grams[i] for i in part], seen[part], look[rooms])

    def loss(part: NDArray[np.int64]) -> torch.Tensor:
        return cross_entropy(logits(part, room[part]), truth[part])

    for rooms in np.array_split(rng.permutation(np.unique(room)), FOLDS):
        mine, others = np.flatnonzero(np.isin(room, rooms)), np.flatnonzero(~np.isin(room, rooms))
        sure = torch.zeros(len(mine), len(rooms), len(words))
        for _ in range(TEACHERS):
            teacher = Teacher(known, len(words), (seen.shape[1], look.shape[1]))
            fit(teacher, loss, others, EPOCHS, BATCH, rng)
            with torch.inference_mode():
                for i, one in enumerate(rooms):
                    sure[:, i] += logits(mine, np.full(len(mine), one)).softmax(-1)
        drawn = torch.multinomial(sure.flatten(0, 1), DRAWN).unflatten(0, sure.shape[:2])
        for layer, chosen in zip(out, (sure.argmax(-1), *drawn.unbind(-1)), strict=True):
            layer[np.ix_(mine, rooms)] = chosen
        right = out[0, mine, room[mine]] == truth[mine].numpy()
        print(f"rooms' answers: {right.mean():.3f} right of {len(mine)}", flush=True)
    return out
