"""Photos of things that nobody took: a photo halfway up the tower is changed until the classifier above sees one of its classes.

What no caption tells of, a zebra or a pizza, is learnt from these: unlike features that are only moved along the classifier's
weights, what stands above them was computed by the tower itself. The picture is cut and mirrored anew at every step, else
specks would do. Source: Mordvintsev et al., Inceptionism, 2015; Yin et al., Dreaming to Distill (DeepInversion), 2020."""

import json
import math
import random
import time
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap

from tools.training import features
from tools.training.aids import Names

COUNT, BATCH = 3000, 16
STEPS, RATE, MARGIN = 45, 0.75, (2.0, 5.0)  # the class leads the next one by so much, in logits
ROOMS = 0.15  # of the photos that dreams begin with
FILE = features.FOLDER / "dreams.npy"  # [COUNT, 112, 14, 14]; what they show and how many are done stands in a .json


def dream(tower: torch.nn.Module, photos: torch.Tensor, kinds: list[int], rng: random.Random) -> torch.Tensor:
    """Photos halfway up the `tower` (with its classifier), [n, 112, 14, 14], changed until it sees the classes `kinds`."""
    kind, least, most = torch.tensor(kinds)[:, None], *MARGIN
    lead = torch.tensor([[rng.uniform(least, most)] for _ in kinds])
    dreamt = photos.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([dreamt], RATE)
    for _ in range(STEPS):
        logits = tower.classifier(features.upper(tower, features.moved(dreamt, rng)).mean(1))
        others = logits.scatter(1, kind, -math.inf).amax(1, keepdim=True)
        loss = (others - logits.gather(1, kind) + lead).clamp(min=0).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return dreamt.detach()


def seen() -> list[int]:
    """The classes of the dreams that are done."""
    return json.loads(FILE.with_suffix(".json").read_text("utf-8")) if FILE.exists() else []


def ensure(data: Path, names: Names) -> None:
    """Dreams of classes that `names` draws until there are `COUNT`; goes on where it stopped. Three quarters of an hour on one
    core, once."""
    rng, kinds = random.Random(), names.some(COUNT)
    rows = features.rows(data / "flickr8k" / "captions.jsonl")
    bases = [i for i, row in enumerate(rows) if row["split"] == "train"]
    photos, rooms = features.load("halfway", "flickr8k", "crop"), features.load("halfway", "daquar", "plain")
    last = len(rooms) - 100  # of them the training leaves out
    tower = features.tower(classifier=True)
    done = seen()
    kept = open_memmap(FILE, "r+" if done else "w+", np.float16, (COUNT, *features.HALFWAY))
    start, before = time.time(), len(done)
    while len(done) < COUNT:
        rng.seed(len(done))
        at = slice(len(done), len(done) + BATCH)
        some = [photos[rng.choice(bases)] if rng.random() > ROOMS else rooms[rng.randrange(last)] for _ in kinds[at]]
        kept[at] = dream(tower, torch.from_numpy(np.stack(some)).float(), kinds[at], rng).numpy()
        kept.flush()
        done += kinds[at]
        FILE.with_suffix(".json").write_text(json.dumps(done), "utf-8")
        if len(done) % (BATCH * 20) == 0:
            print(f"{len(done)} dreams, {(time.time() - start) / (len(done) - before):.2f} s each", flush=True)
