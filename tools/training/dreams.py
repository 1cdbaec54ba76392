"""Photos of things that nobody took: a photo halfway up the tower is changed until the classifier above sees one of its classes.

What no caption tells of, a zebra or a pizza, is learnt from these: unlike features that are only moved along the classifier's
weights, what stands above them was computed by the tower itself. The picture is cut and mirrored anew at every step, else
specks would do. People are none of the classifier's classes, so nothing takes them out of a dream: none begins with a photo
of somebody, else a figure is learnt to be a thing. Source: Mordvintsev et al., Inceptionism, 2015; Yin et al., Dreaming to
Distill (DeepInversion), 2020."""

import json
import math
import random
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.lib.format import open_memmap

from tools.training import features
from tools.training.aids import Names
from tools.training.scenes import Exchange
from tools.training.stickers import article, plural
from tools.training.synthetic import empty, questions, telling, tidy

COUNT, BATCH = 9000, 16
STEPS, RATE, MARGIN = 30, 0.75, (2.0, 5.0)  # the class leads the next one by so much, in logits
BASES = {"daquar": 0.2, "intel_scenes": 0.2, "flickr8k": 0.6}  # of the dreams begin with one of these photos
VIEWS = {"daquar": "plain", "intel_scenes": "plain", "flickr8k": "crop"}
LANDSCAPES = "forest glacier mountain sea".split()
WALKERS = (range(7, 25), range(33, 52), range(80, 107), range(127, 147), range(269, 300), range(330, 389))
WALKING = [kind for kinds in WALKERS for kind in kinds]  # animals that do what dogs do in photos: birds to elephants
ON_DOGS = 0.25  # of the dreams: one of these where a dog was
BREEDS = "pup|retriever|greyhound|hound|terrier|poodle|collie|lab|shepherd|bulldog|corgi|husky|dalmatian"
AROUND = r"where|place|side\?|doors\?|day or night|weather|season|on the ground"  # of what photos show: what changes least in a dream
FILE = features.FOLDER / "dreams.npy"  # [COUNT, 120, 14, 14]; what they show and how many are done stands in a .json


class Dream(NamedTuple):
    """What it shows, one of ImageNet's classes, and the photo of Flickr8k that it began with (-1: a room or a landscape)."""

    kind: int
    base: int


def dream(tower: torch.nn.Module, photos: torch.Tensor, kinds: list[int], rng: random.Random) -> torch.Tensor:
    """Photos halfway up the `tower` (with its classifier), [n, 120, 14, 14], changed until it sees the classes `kinds`."""
    kind, least, most = torch.tensor(kinds)[:, None], *MARGIN
    lead = torch.tensor([[rng.uniform(least, most)] for _ in kinds])
    dreamt = photos.clone(memory_format=torch.channels_last).requires_grad_(True)
    optimizer = torch.optim.Adam([dreamt], RATE)
    for _ in range(STEPS):
        logits = tower.classifier(features.upper(tower, features.moved(dreamt, rng)).mean(1))
        others = logits.scatter(1, kind, -math.inf).amax(1, keepdim=True)
        loss = (others - logits.gather(1, kind) + lead).clamp(min=0).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return dreamt.detach()


def seen() -> list[Dream]:
    """The dreams that are done."""
    return [Dream(*one) for one in json.loads(FILE.with_suffix(".json").read_text("utf-8"))] if FILE.exists() else []


def of_a_dog(captions: Sequence[str]) -> list[str]:
    """The captions of a photo that tell of a dog and of no breed; none where fewer than three people say dog."""
    said = [one for one in map(tidy, captions) if telling([one], r"dogs?\b") and not telling([one], BREEDS)]
    return said if len(said) > 2 else []


def of_its_dog(one: Dream, captions: Mapping[int, Sequence[str]]) -> list[str]:
    """The captions of the dog in whose place a dream is, of photos' `captions` by number; none of other dreams."""
    return of_a_dog(captions[one.base]) if one.base >= 0 and one.kind in WALKING else []


def of_another(text: str, name: str) -> str:
    """What is said of a dog, said of another animal."""
    for old, new in ((r"\ba dog\b", article(name)), (r"\bdog\b", name), (r"\bdogs\b", plural(name))):
        text = re.sub(old, new, text)
    return text


def asked(captions: Sequence[str], name: str, dog: bool, rng: random.Random) -> list[Exchange]:
    """Questions about the photo, with such captions, that a dream of `name` began with: where and when it was taken, and if they
    are those `of_a_dog`, all others, about what was dreamt in its place."""
    told = questions([*captions], rng)
    if not dog:
        return [one for one in told if re.search(AROUND, one[0])]
    return [(of_another(question, name), of_another(answer, name)) for question, answer in told if name not in question]


def bases(data: Path) -> dict[str, list[int]]:
    """The numbers of photos of each data set that are for training and show nobody; "dogs" are those of Flickr8k with one."""
    rows = features.rows(data / "flickr8k" / "captions.jsonl")
    alone = [i for i, row in enumerate(rows) if row["split"] == "train" and empty(row["captions"])]
    places = features.labels(data, "intel_scenes")
    return {
        "daquar": features.learnt(data, "daquar"),
        "intel_scenes": [i for i in features.learnt(data, "intel_scenes") if places[i] in LANDSCAPES],
        "flickr8k": alone,
        "dogs": [i for i in alone if of_a_dog(rows[i]["captions"])],
    }


def ensure(data: Path, names: Names) -> None:
    """Dreams of classes that `names` draws, and of `WALKING` animals where a dog was, until there are `COUNT`; goes on where it
    stopped. Forty minutes on one core, once."""
    known, photos = bases(data), {name: features.load("halfway", name, view) for name, view in VIEWS.items()}
    tower, rng = features.tower(classifier=True).to(memory_format=torch.channels_last), names.rng
    done = seen()
    kept = open_memmap(FILE, "r+" if done else "w+", np.float16, (COUNT, *features.HALFWAY))
    start, before = time.time(), len(done)

    def begun(kind: int) -> tuple[Dream, np.ndarray]:
        """A dream of a class and the photo that it begins with."""
        if rng.random() < ON_DOGS:
            base = rng.choice(known["dogs"])
            return Dream(rng.choice(WALKING), base), photos["flickr8k"][base]
        name = rng.choices([*BASES], [*BASES.values()])[0]
        base = rng.choice(known[name])
        return Dream(kind, base if name == "flickr8k" else -1), photos[name][base]

    while len(done) < COUNT:
        rng.seed(len(done))
        new = [begun(kind) for kind in names.some(min(BATCH, COUNT - len(done)))]
        some = torch.from_numpy(np.stack([photo for _, photo in new])).float()
        at = slice(len(done), len(done) + len(new))
        done += [one for one, _ in new]
        kept[at] = dream(tower, some, [one.kind for one, _ in new], rng).numpy()
        kept.flush()
        FILE.with_suffix(".json").write_text(json.dumps(done), "utf-8")
        if len(done) % (BATCH * 20) == 0:
            print(f"{len(done)} dreams, {(time.time() - start) / (len(done) - before):.2f} s each", flush=True)
