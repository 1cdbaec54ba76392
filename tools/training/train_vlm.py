"""Trains the bundled vision-language model: Lite2, a projector and a small Llama, as transformers' FastVLM.

One training sequence is a picture and several independent conversations about it: each sees the picture and itself, so
the picture's 49 tokens are computed once for all of them. The lower part of Lite2 stays as it is (its output is cached),
the upper part learns along. Resumes from its checkpoint by the same command."""

import argparse
import gzip
import itertools
import json
import math
import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from transformers import (
    CLIPImageProcessor,
    FastVlmConfig,
    FastVlmForConditionalGeneration,
    GenerationConfig,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from pipelines.device import pick
from tools.training import detector, dreams, elsewhere, features, portraits, priors, things
from tools.training.aids import SIDE, Aids, Names, covers, spoken, told
from tools.training.detector import KINDS, Found
from tools.training.dreams import Dream
from tools.training.features import CELLS, FOLDER, Cut, rows
from tools.training.halves import Halves
from tools.training.paired import Paired
from tools.training.portraits import Portrait
from tools.training.precision import autocast, depthwise_in_fp32, muon
from tools.training.room_answers import Rooms, daquar, mirrored
from tools.training.scenes import DESCRIBE, WORDS, Exchange, Scene, Scenes
from tools.training.stickers import PAINTS, Thing, plural
from tools.training.synthetic import (
    COLOURS,
    SOMEBODY,
    counted,
    dogs,
    empty,
    follow_ups,
    how_many,
    inside_or_outside,
    many,
    questions,
    salient,
    some,
    tidy,
    whether,
)
from tools.training.things import Closeup

WIDTH, LAYERS, HEADS, VOCABULARY, LONGEST = 256, 4, 4, 5000, 512
LOOKING = (1, 2)  # layers in which names look at their things
PAD, END, USER, ASSISTANT, IMAGE = range(5)
SPECIAL = ["<pad>", "<end>", "<user>", "<assistant>", "<image>"]
TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}<assistant>{% else %}<user>{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}<end>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
SHARES = {  # of the steps
    "flickr8k": 0.22, "asked": 0.1, "stickers": 0.22, "what": 0.03, "places": 0.03, "counts": 0.06, "cells": 0.02,
    "easy_vqa": 0.03, "daquar": 0.05, "elsewhere": 0.03, "vqa_text": 0.13, "named": 0.05, "people": 0.02, "dreams": 0.1,
}  # fmt: skip
BATCH, PEAK, PEAK_TOWER = 8, 1e-3, 2e-4
ASKED, MADE_UP = 30, 0.6  # questions about a blur, and how many of them nobody asked
UNASKED = 20_000  # of these there are, of each kind
HIDDEN = 0.1  # of a photo's cells and of the answers' words: else the training captions are learnt by heart
MODELS = ("model", "average", "before", "aids")  # of a run, in its checkpoint
KEPT = 10.0  # what it costs if cells of photos are no longer at all like before
AVERAGED = 0.997  # of the average of weights stays at each step
HELD_VQA = 3000  # questions kept out of training
WITHOUT_PEOPLE = "bird cat deer dog frog forest glacier mountain sea".split()
PEOPLE = (0.35, 0.25, 0.16, 0.14, 0.07, 0.03)  # how often photos with so many of them are shown, before they are cut
DOGS = (0.38, 0.44, 0.18 / 4)  # how often photos with one, two and each higher number of dogs are shown
HALVED = 0.4  # of these, with one or two, are put together of halves
ELSEWHERE = 0.3  # how often those that people are in are not Flickr8k's
ASKED_ALONE = {"places": 2, "counts": 2, "what": 3}  # steps about stickers without other questions, batches of each
MOVED = ("named", "dreams", "daquar", "elsewhere")  # shown cut anew at each step, as Flickr8k's are
KNOWN = 0.3  # of Flickr8k's photos are shown from the view of which a detector knows what is where
UNCUT = 0.3  # of these are shown whole
TOLD = 4  # conversations about a dream at each step
EVEN = 0.6  # 0: each dream is as likely, 1: each name of what is dreamt
COLOURED = re.compile(rf"\b(?:colou?r|{'|'.join(COLOURS)})")
CROPS = ("plain", "crop", "crop2", "crop3", "crop4")


# ---- data -----------------------------------------------------------------------------------------------------------


def easy_vqa(data: Path) -> dict[str, list[Exchange]]:
    found: dict[str, list[Exchange]] = {}
    with gzip.open(data / "easy_vqa" / "questions.jsonl.gz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            found.setdefault(row["image"], []).append((row["question"], row["answer"]))
    return found


def vqa_text(data: Path) -> list[dict]:
    with gzip.open(data / "vqa_text" / "questions.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def common(answers: list[str]) -> str:
    return Counter(answers).most_common(1)[0][0]


def answered(row: dict) -> str:
    """What kind of answer most people gave."""
    most = common(row["answers"])
    return "yes or no" if most in ("yes", "no") else "number" if most.isdigit() else "other"


SMALL = set("the and with are his her its for from while this that has have she their they who another there".split())


class Batch(NamedTuple):
    """Pictures halfway up the tower, [n, 120, 14, 14], and for each its conversations. Of photos comes what classes the
    untouched tower saw, [n, 1000], and words that stand for them; of sticker scenes what was `drawn` in each cell, of photos
    what a detector `found` there (None: nobody knows); from what is `frozen` the tower does not learn."""

    halfway: torch.Tensor
    talks: list[list[list[Exchange]]]
    opinion: torch.Tensor | None = None
    drawn: Sequence[dict[int, Thing]] = ()
    found: Sequence[dict[int, Found] | None] = ()
    names: Sequence[str] = ()
    frozen: bool = False


class Source:
    """Batches of the training part of each data set."""

    def __init__(self, data: Path, tower: nn.Module) -> None:
        captions = rows(data / "flickr8k" / "captions.jsonl")
        self.captions = {i: row["captions"] for i, row in enumerate(captions) if row["split"] == "train"}
        self.photos = list(self.captions)
        self.salient = {i: salient(five) for i, five in self.captions.items()}
        self.flickr = [features.load("halfway", "flickr8k", view) for view in CROPS]
        easy, places = easy_vqa(data), features.names(data, "easy_vqa")
        self.easy = {i: easy[places[i]] for i in features.learnt(data, "easy_vqa") if places[i] in easy}
        self.shapes = features.load("halfway", "easy_vqa", "plain")
        rooms, places = daquar(data), features.names(data, "daquar")
        kept = features.learnt(data, "daquar")
        self.rooms = Rooms([(i, *exchange) for i in kept for exchange in rooms.get(places[i], [])])
        self.room_views = [features.load("halfway", "daquar", view) for view in CROPS[:2]]
        asked = vqa_text(data)[:-HELD_VQA]
        self.paired = Paired(asked, self.captions)
        kinds = [[row for row in asked if answered(row) == kind] for kind in ("yes or no", "number", "other")]
        self.asked = [*zip(kinds, priors.exchanges(kinds, UNASKED), strict=True)]  # by somebody, and by nobody
        self.kinds = (0.35, 0.15, 0.5)  # about as often as in VQA v2
        self.scenes, self.tower = Scenes(), tower
        self.rng = random.Random(0)
        self.queue: list[int] = []
        self.names = Names(data, [said for row in asked for said in row["answers"]], self.rng)
        self.classifier = features.tower(classifier=True).classifier
        self.dreams = np.load(dreams.FILE, mmap_mode="r")
        self.dreamt: list[
            tuple[Dream, str, list[str]]
        ] = []  # its common name, captions of the dog in whose place it is
        for one in dreams.seen():
            self.dreamt.append((one, self.names.common[one.kind], dreams.of_its_dog(one, self.captions)))
        dreamt_of = Counter(name for _, name, _ in self.dreamt)
        self.rarity = [*itertools.accumulate(dreamt_of[name] ** -EVEN for _, name, _ in self.dreamt)]
        self.pooled = torch.from_numpy(features.load("means", "flickr8k", "plain"))
        self.named: list[tuple[NDArray[np.float16], int, str]] = []
        for kind in ("imagenette", "cifar10", "intel_scenes"):
            photos, called = features.load("halfway", kind, "plain"), labels(data, kind)
            self.named += [(photos, i, called[i]) for i in features.learnt(data, kind)]
        self.dogs: dict[int, list[int]] = {}  # photos of Flickr8k by how many captions tell of
        for i, five in self.captions.items():
            if count := dogs(five):
                self.dogs.setdefault(count, []).append(i)
        self.people: dict[int, tuple[list, list]] = {}  # photos of Flickr8k and others by how many a detector finds
        self.things: dict[str, list[list[Found]]] = {}  # what the detector finds
        learnt = {"flickr8k": set(self.captions), "daquar": set(self.rooms.own)}
        learnt |= {name: set(features.learnt(data, name)) for name in ("imagenette", "intel_scenes")}
        for name, chosen in learnt.items():
            photos = features.load("halfway", name, "plain")
            self.things[name] = detector.found(data, name)
            for i, number in enumerate(map(detector.people, self.things[name])):
                if i not in chosen or number is None or number >= len(PEOPLE):
                    continue
                if number or name != "flickr8k" or empty(self.captions[i]):  # a detector misses some of the people
                    self.people.setdefault(number, ([], []))[name != "flickr8k"].append(
                        (photos, i, self.things[name][i])
                    )

        self.halves = Halves(self.flickr[0], {i: self.things["flickr8k"][i] for i in self.dogs[1]}, "dog")
        captioned = elsewhere.rooms({i: rooms[places[i]] for i in self.rooms.own})
        captioned += elsewhere.labelled(data, "imagenette") + elsewhere.labelled(data, "intel_scenes")
        shown = {name: features.load("halfway", name, "plain") for name in {photo.dataset for photo in captioned}}
        self.elsewhere: list[tuple[NDArray[np.float16], elsewhere.Photo | Portrait | Closeup]] = [
            (shown[p.dataset][p.number], p) for p in captioned if p.number in learnt[p.dataset]
        ]
        for file, cut_out in ((portraits.FILE, Portrait), (things.FILE, Closeup)):
            self.elsewhere += [(cut, cut_out(*one)) for cut, one in zip(*features.kept(file), strict=True)]

    def seed(self, seed: int) -> None:
        self.rng.seed(seed)
        self.scenes.rng.seed(seed)

    def opinion(self, chosen: list[int]) -> torch.Tensor:  # [n, 1000]
        with torch.no_grad():
            return self.classifier(self.pooled[chosen].float()).softmax(-1)

    def next_photos(self, n: int) -> list[int]:
        if len(self.queue) < n:
            self.queue = self.rng.sample(self.photos, len(self.photos))
        taken, self.queue = self.queue[:n], self.queue[n:]
        return taken

    def guess(self, asked: list[dict], unasked: list[Exchange]) -> Exchange:
        """A question without a photo that somebody asked or nobody, and an answer that few would be surprised at."""
        if self.rng.random() < MADE_UP:
            return self.rng.choice(unasked)
        row = self.rng.choice(asked)
        return row["question"], common(self.rng.choices(row["answers"], k=3))

    def some_dreams(self, n: int) -> list[int]:
        """The numbers of dreams, drawn so that rare names are not much rarer."""
        return self.rng.choices(range(len(self.dreamt)), cum_weights=self.rarity, k=n)

    def dreamt_talks(self, dream: Dream, name: str, of_dog: list[str]) -> list[list[Exchange]]:
        """Some of what can be said of a dream: its name, and what is left of the photo that it began with."""
        said = of_dog or self.captions.get(dream.base, [])
        asked = dreams.asked(said, name, bool(of_dog), self.rng) if said else []
        captions = [dreams.of_another(one, name) for one in of_dog]
        talks = self.names.talks(name, dream.kind, captions)
        talks += chained(asked[:4] + self.paired.what_is(name, self.rng), self.rng)
        return self.rng.sample(talks, TOLD)

    def presence(self, photo: int) -> list[Exchange]:
        """Whether there is what this photo shows, and what another one does: each thing is as often there as not."""
        rng, (there, absent) = self.rng, self.salient[photo]
        others = [thing for other in rng.sample(self.photos, 8) for thing in self.salient[other][0] if thing in absent]
        asked = [(thing, "yes") for thing in rng.sample(there, min(1, len(there)))]
        asked += [(thing, "no") for thing in others[: len(asked) or rng.random() < 0.1]]
        return [(whether(some(thing), rng, many(thing)), answer) for thing, answer in asked]

    def part(
        self, photos: NDArray[np.float16], number: int, things: list[Found]
    ) -> tuple[NDArray[np.float32], list[Found]]:
        """A part of a photo, now and then all of it, that leaves no doubt which of its things are there; and these things. Not
        a part without any of them: whether a photo is cut must not tell that somebody is there."""
        rng = self.rng
        cuts = [] if rng.random() < UNCUT else [features.some_cut(rng) for _ in range(8)]
        shown = ((cut, detector.within(things, cut)) for cut in (*cuts, Cut(mirrored=rng.random() < 0.5)))
        cut, there = next((cut, there) for cut, there in shown if there is not None and bool(there) == bool(things))
        return cut_of(photos, number, cut), there

    def batch(self, kind: str) -> Batch:
        rng = self.rng
        opinion, called, found = None, [], []
        seen: list[NDArray[np.floating]]
        if kind in ("stickers", "cells"):
            scenes = [self.scenes.scene() for _ in range(BATCH * (1 + (kind == "cells")))]
            halfway = features.halfway(self.tower, [self.scenes.draw(scene) for scene in scenes])
            return Batch(
                halfway,
                [self.scenes.talks(s) for s in scenes] if kind == "stickers" else [],
                drawn=[*map(covers, scenes)],
            )
        if kind in ASKED_ALONE:  # places and numbers cells tell already; the language model learns to look them up
            ask = {"places": self.scenes.where, "counts": self.scenes.counts, "what": self.scenes.what}[kind]
            drawn: list[tuple[Scene, list[Exchange]]] = []
            while len(drawn) < ASKED_ALONE[kind] * BATCH:
                scene = self.scenes.scene()
                if exchanges := ask(scene):
                    drawn.append((scene, exchanges[:14]))
            halfway = features.halfway(self.tower, [self.scenes.draw(scene) for scene, _ in drawn])
            talks = [[[one] for one in exchanges] for _, exchanges in drawn]
            return Batch(halfway, talks, drawn=[covers(scene) for scene, _ in drawn], frozen=kind != "what")
        if kind in ("flickr8k", "asked"):  # the latter without captions, whose many words leave questions little weight
            chosen = self.next_photos(BATCH * (1 + (kind == "asked")))
            seen, pale = [], list[bool]()
            for i in chosen:
                known = rng.random() < KNOWN
                pale.append(features.grey(i) and not known)
                if known:
                    part, there = self.part(self.flickr[0], i, self.things["flickr8k"][i])
                    covered = detector.covers(there, SIDE)
                else:  # of the other views nobody knows what is where
                    cut = features.some_cut(rng)
                    part, covered = cut_of(rng.choice(self.flickr[1:]), i, cut), None
                seen.append(part)
                found.append(covered)
            opinion = self.opinion(chosen)
            called = [agreed(self.captions[i]) for i in chosen]
            talks = [
                [[(DESCRIBE, tidy(c))] for c in self.captions[i] if kind == "flickr8k"]
                + chained(questions(self.captions[i], rng)[: 6 if kind == "flickr8k" else None], rng)
                + follow_ups(self.captions[i], rng)
                + chained(self.paired.about(i, self.salient[i][1], rng), rng)
                + chained(self.names.presence(view, " ".join(self.captions[i]).lower()) + self.presence(i), rng)
                for i, view in zip(chosen, opinion, strict=True)
            ]
            talks = [
                [*filter(colourless, told)] or told[-1:] if grey else told
                for told, grey in zip(talks, pale, strict=True)
            ]
        elif kind == "boxes":  # nothing is said: the tower learns what is where, and keeps what it knew
            chosen, talks = self.next_photos(4 * BATCH), []
            opinion = self.opinion(chosen)
            parts = [self.part(self.flickr[0], i, self.things["flickr8k"][i]) for i in chosen]
            seen = [part for part, _ in parts]
            found = [detector.covers(there, SIDE) for _, there in parts]
        elif kind == "easy_vqa":
            chosen = rng.sample(list(self.easy), BATCH)
            seen, talks = [self.shapes[i] for i in chosen], [chained(self.easy[i][:12], rng) for i in chosen]
        elif kind == "daquar":
            chosen = rng.sample(list(self.rooms.own), BATCH)
            seen, talks = [], []
            for room in chosen:
                view, turned = rng.randrange(2), rng.random() < 0.5  # the second view is a mirror image itself
                seen.append(self.room_views[view][room, :, :, :: -1 if turned else 1])
                told = self.rooms.talks(room, rng)
                told = (mirrored(told) if turned != bool(view) else told) + nobody(rng)
                talks.append(chained([*told, inside_or_outside(True, rng)], rng))
        elif kind == "elsewhere":
            photos = rng.sample(self.elsewhere, 2 * BATCH)
            seen = [shown for shown, _ in photos]
            talks = [
                [[(DESCRIBE, c)] for c in rng.sample(photo.captions, 2)]
                + chained(
                    photo.questions(rng) + (self.paired.what_is(photo.name, rng) if isinstance(photo, Closeup) else []),
                    rng,
                )
                for _, photo in photos
            ]
        elif kind == "named":
            few = rng.sample(self.named, BATCH)
            seen = [photos[i] for photos, i, _ in few]
            talks = [
                self.names.talks(name) + (chained(nobody(rng) + counted(0, rng), rng) if name in WITHOUT_PEOPLE else [])
                for *_, name in few
            ]
        elif kind == "people":
            numbers = rng.choices(list(self.people), [PEOPLE[n] for n in self.people], k=4 * BATCH)
            seen, talks = [], []
            for near, far in map(self.people.__getitem__, numbers):
                part, there = self.part(*rng.choice((far if rng.random() < ELSEWHERE else near) or near or far))
                seen.append(part)
                told = counted(sum(thing.name == "person" for thing in there), rng)
                talks.append(chained(self.paired.reworded(told, rng), rng))
                found.append(detector.covers(there, SIDE))
        elif kind == "dogs":  # whole photos: a part may lack one of them
            numbers = rng.choices(list(self.dogs), [DOGS[min(n, len(DOGS)) - 1] for n in self.dogs], k=2 * BATCH)
            seen, talks = [], []
            for number in numbers:
                halved = number < 3 and rng.random() < HALVED
                told = [(how_many("dogs" if halved else rng.choice(("dogs", "dogs", "animals")), rng), str(number))]
                if halved:
                    seen.append(self.halves.pair(number, rng))
                else:
                    photo = rng.choice(self.dogs[number])
                    seen.append(cut_of(self.flickr[0], photo, Cut(mirrored=rng.random() < 0.5)))
                    told += nobody(rng) + counted(0, rng) if empty(self.captions[photo]) else []
                talks.append(chained(self.paired.reworded(told, rng), rng))
        elif kind == "dreams":
            chosen = self.some_dreams(3 * BATCH)
            seen = [self.dreams[i] for i in chosen]
            with torch.no_grad():
                means = features.upper(self.tower, torch.from_numpy(np.stack(seen)).float()).mean(1)
                opinion = self.classifier(means).softmax(-1)
            called = [self.dreamt[i][1] for i in chosen]
            talks = [self.dreamt_talks(*self.dreamt[i]) for i in chosen]
        else:  # questions without a photo are asked about a blur: the mean of some photos
            seen = [
                np.mean([self.flickr[0][i] for i in rng.sample(self.photos, rng.randint(2, 6))], 0)
                for _ in range(BATCH)
            ]
            asked = [self.guess(*kind) for kind in rng.choices(self.asked, self.kinds, k=ASKED * BATCH)]
            talks = [[[exchange] for exchange in asked[i::BATCH]] for i in range(BATCH)]
        halfway = torch.from_numpy(np.stack(seen)).float()
        return Batch(
            features.moved(halfway, rng, kind != "daquar") if kind in MOVED else halfway,
            talks,
            opinion,
            found=found,
            names=called,
            frozen=kind in ("vqa_text", "daquar"),
        )


def labels(data: Path, kind: str) -> list[str]:
    """What each photo of Imagenette, CIFAR-10 or Intel's scenes shows, in the order of its features, as people say it."""
    if kind == "cifar10":
        file = np.load(data / "cifar10" / "cifar10_dev.npz", allow_pickle=False)
        said = {"automobile": "car"}
        return [said.get(name, name) for name in (str(file["classes"][k]) for k in file["labels"])]
    said = {"tench": "fish", "English springer": "dog", "chain saw": "chainsaw", "garbage truck": "truck",
            "buildings": "building"}  # fmt: skip
    return [said.get(label, label.lower()) for label in features.labels(data, kind)]


def cut_of(photos: NDArray[np.float16], number: int, cut: Cut) -> NDArray[np.float32]:
    """A part of a photo, [120, 14, 14]."""
    return features.shown(torch.from_numpy(photos[[number]].astype(np.float32)), [cut])[0].numpy()


def nobody(rng: random.Random) -> list[Exchange]:
    """What is true of photos of rooms, of animals and of landscapes, and of hardly any of Flickr8k's without a dog."""
    return [(whether(*rng.choice((("people", rng, True), ("a person", rng), ("a man", rng), ("a woman", rng)))), "no")]


def colourless(talk: list[Exchange]) -> bool:
    """Whether a conversation tells of no colour: it may be about a photo in black and white."""
    return not COLOURED.search(" ".join(map(" ".join, talk)))


def agreed(captions: list[str]) -> str:
    """The words of some weight that two captions or more have."""
    said = Counter(word for caption in captions for word in {*re.findall("[a-z]{3,}", caption.lower())} - SMALL)
    return " ".join(word for word, n in said.items() if n > 1)


def chained(exchanges: list[Exchange], rng: random.Random) -> list[list[Exchange]]:
    """Conversations of one exchange, of two or of three."""
    out, todo = [], list(exchanges)
    while todo:
        take = rng.choices((1, 2, 3), (0.6, 0.25, 0.15))[0]
        out.append(todo[:take])
        todo = todo[take:]
    return out


# ---- the model ------------------------------------------------------------------------------------------------------


def train_tokenizer(data: Path) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    captions = [
        tidy(c)
        for row in rows(data / "flickr8k" / "captions.jsonl")
        if row["split"] == "train"
        for c in row["captions"]
    ]
    asked = [text for row in vqa_text(data)[:-HELD_VQA] for text in (row["question"], *row["answers"][:2])]
    rooms = [text for talk in daquar(data).values() for exchange in talk for text in exchange]
    shapes = [text for talk in list(easy_vqa(data).values())[:200] for exchange in talk for text in exchange]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*captions, *asked, *rooms, *shapes, *[DESCRIBE] * 5000], trainer)
    return tokenizer


def build(vocab_size: int) -> FastVlmForConditionalGeneration:
    config = FastVlmConfig(
        vision_config={
            "model_type": "timm_wrapper", "architecture": features.ARCHITECTURE, "do_pooling": False,
            "hidden_size": features.WIDTH, "num_classes": 0, "global_pool": "",
        },
        text_config={
            "model_type": "llama", "vocab_size": vocab_size, "hidden_size": WIDTH, "intermediate_size": 640,
            "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": HEADS,
            "max_position_embeddings": LONGEST, "tie_word_embeddings": True, "rope_theta": 10000.0,
            "pad_token_id": PAD, "bos_token_id": None, "eos_token_id": END,
        },
        image_token_index=IMAGE,
        image_seq_length=CELLS,
        tie_word_embeddings=True,
    )  # fmt: skip
    model = FastVlmForConditionalGeneration(config)
    model.model.vision_tower.timm_model.load_state_dict(features.tower().state_dict())
    tower = model.model.vision_tower.eval().requires_grad_(False).timm_model
    for part in (tower.blocks[features.LOWER_BLOCKS :], tower.conv_head, tower.bn2):
        part.requires_grad_(True)
    model.generation_config = GenerationConfig(
        max_new_tokens=40, do_sample=False, repetition_penalty=1.1,  # not no_repeat_ngram_size: it forbids "yes" twice in a conversation
        eos_token_id=END, pad_token_id=PAD,
    )  # fmt: skip
    return model


class Look(NamedTuple):
    """What a token should attend to, by the places in the sequence, picture and all: each group of keys alike."""

    picture: int
    head: int
    token: int
    there: list[list[int]]


Words = dict[tuple[int, ...], str | None]  # what words, as tokens, name
ALSO = {"bike": "bicycle", "motorbike": "motorcycle", "plane": "airplane", "sofa": "couch", "television": "tv", "ball": "sports ball",
        "surf board": "surfboard", "table": "dining table", "plant": "potted plant", "phone": "cell phone"}  # fmt: skip
NOTHING = [0]  # the place of the sequence's first token, where a look that finds nothing rests


class Looks:
    """Where words about sticker scenes are to look. The words before a thing's name in an answer, and the name in a question,
    look with their first head to the cells that the things of that name cover, or to NOTHING; with the fourth to NOTHING and
    to each of the things alike, so that the share of NOTHING tells their number. Where an answer starts it looks to the
    question's first and last name; where a name in it ends, to what was not named so far: NOTHING is where it stops.

    In photos names look to what a detector found, which misses things: to NOTHING only where the answer says so."""

    def __init__(self, tokenizer: Tokenizer, names: Sequence[str]) -> None:
        def ids(words: str) -> tuple[int, ...]:
            return tuple(tokenizer.encode(words, add_special_tokens=False).ids)

        self.drawn: Words = {ids(word): name for name in names if name not in PAINTS for word in (name, plural(name))}
        self.drawn |= {ids(word): None for word in ("things", "objects")}
        self.found: Words = {ids(word): name for name in KINDS if name not in PAINTS for word in (name, plural(name))}
        self.found |= {ids(word): name for word, name in ALSO.items()}
        self.found |= {ids(word): "person" for word in (*SOMEBODY, "people")}
        self.somebody = {ids(word) for word in SOMEBODY}
        self.longest = max(map(len, self.drawn | self.found))
        self.none = {ids("no")[0], ids("0")[0]}
        self.before = {token for word in (*WORDS, *PAINTS, "a", "an") for token in ids(word)}

    def named(self, tokens: list[int], names: Words) -> list[tuple[int, int, str | None]]:
        """Where names start and end, and what they name (None: all things); of "car" and "race car" the longer counts."""
        found, end = [], len(tokens)
        while end > 0:
            for start in range(max(0, end - self.longest), end):
                words = tuple(tokens[start:end])
                if words in names:
                    found.append((start, end - 1, names[words]))
                    end = start + 1
                    break
            end -= 1
        return found[::-1]

    def __call__(
        self,
        packed: tuple[torch.Tensor, ...],
        covered: Sequence[dict[int, Thing] | dict[int, Found] | None],
        photos: bool = False,
    ) -> list[Look]:
        found: list[Look] = []
        for i, (one, tokens, target) in enumerate(zip(covered, packed[0].tolist(), packed[1].tolist(), strict=True)):
            if one is None:
                continue
            cells: dict[Thing | Found, list[int]] = {}
            for cell, thing in one.items():
                cells.setdefault(thing, []).append(1 + cell)
            doubtful = {thing.name for thing in cells if isinstance(thing, Found) and thing.doubtful}
            answers: dict[int, list[int]] = {}
            named: dict[int, set[str | None]] = {}  # in each conversation, so far
            for start, end, name in self.named(tokens, self.found if photos else self.drawn):
                said = named.setdefault(int(packed[2][i, end]), set())
                said.add(name)
                if name in doubtful:
                    continue
                there = [seen for thing, seen in cells.items() if name in (thing.name, None)]
                asked = target[start - 1] == -100
                if photos and not there and not (asked and tokens[tokens.index(ASSISTANT, end) + 1] in self.none):
                    continue
                if asked:
                    looking = [end]
                    answers.setdefault(tokens.index(ASSISTANT, end), []).append(CELLS + 1 + end)
                else:
                    first = start - 1
                    while tokens[first] in self.before:
                        first -= 1
                    looking = list(range(first, start))
                    if not photos:
                        left = [seen for thing, seen in cells.items() if thing.name not in said]
                        found.append(Look(i, 0, CELLS + 1 + end, [[*itertools.chain(*left)] or NOTHING]))
                for token in looking:
                    found.append(Look(i, 0, CELLS + 1 + token, [[*itertools.chain(*there)] or NOTHING]))
                    if tuple(tokens[start : end + 1]) not in self.somebody:  # which of the people is not known
                        found.append(Look(i, 3, CELLS + 1 + token, [NOTHING, *there]))
            for answer, names in answers.items():
                found += [Look(i, 1, CELLS + 1 + answer, [names[:1]]), Look(i, 2, CELLS + 1 + answer, [names[-1:]])]
        return found


Talk = list[tuple[list[int], list[int]]]  # a conversation as token ids: questions and answers


def encode(tokenizer: Tokenizer, talks: list[list[list[Exchange]]]) -> list[list[Talk]]:
    texts = [text for picture in talks for talk in picture for exchange in talk for text in exchange]
    encoded = iter(one.ids for one in tokenizer.encode_batch(texts, add_special_tokens=False))
    return [[[(next(encoded), next(encoded)) for _ in talk] for talk in picture] for picture in talks]


def pack(talks: list[list[Talk]]) -> tuple[torch.Tensor, ...]:
    """Conversations behind the picture: tokens, targets (-100: none), conversation, place, each [b, length]."""
    lines = []
    for picture in talks:
        tokens, target, number, place = [], [], [], []
        for n, talk in enumerate(picture, 1):
            ids, aim = [], []
            for i, (question, answer) in enumerate(talk):
                asked = [USER] * (i > 0) + question + [ASSISTANT]
                ids += [*asked, *answer, END]
                aim += [-100] * (len(asked) - 1) + [*answer, END, -100]  # the target of a token is the one that follows
            tokens += ids
            target += aim
            number += [n] * len(ids)
            place += list(range(CELLS + 1, CELLS + 1 + len(ids)))
        lines.append((tokens, target, number, place))
    longest = max(len(line[0]) for line in lines)
    fills = (PAD, -100, -1, 0)
    return tuple(torch.tensor([line[k] + [fills[k]] * (longest - len(line[k])) for line in lines]) for k in range(4))


def cells_of(model: FastVlmForConditionalGeneration, halfway: torch.Tensor) -> torch.Tensor:  # [b, 49, 1280]
    with autocast():
        return features.upper(model.model.vision_tower.timm_model, halfway)


def see(model: FastVlmForConditionalGeneration, cells: torch.Tensor, drop: float = 0.0) -> torch.Tensor:
    """What stands before every conversation: "user" and the picture, [b, 50, 256]."""
    picture = model.model.multi_modal_projector(nn.functional.dropout(cells, drop))  # [b, 49, 256]
    return torch.cat([model.get_input_embeddings()(torch.full((len(cells), 1), USER)), picture.float()], 1)


def losses(
    model: FastVlmForConditionalGeneration,
    cells: torch.Tensor,
    packed: tuple[torch.Tensor, ...],
    wanted: Sequence[Look] = (),
    hidden: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The cross-entropy of each token that has a target, in the order of `packed`, [answered tokens]; and how badly tokens
    attend to what they are `wanted` to. A share of the cells and of the answers' words before can be `hidden`."""
    tokens, target, number, place = packed
    b, language, looked = len(tokens), model.model.language_model, torch.zeros(())
    with autocast():
        words = model.get_input_embeddings()(tokens)  # [b, length, 256]
        answered = target.roll(1, 1)[..., None] != -100  # [b, length, 1]
        words = torch.where(answered, nn.functional.dropout1d(words, hidden), words)
        x = torch.cat([see(model, nn.functional.dropout1d(cells, hidden), 0.1), words], 1)  # [b, 50 + length, 256]
        number = torch.cat([torch.zeros(b, CELLS + 1, dtype=torch.long), number], 1)
        place = torch.cat([torch.arange(CELLS + 1).expand(b, -1), place], 1)
        length = x.shape[1]
        before = torch.ones(length, length, dtype=torch.bool).tril()
        sees = before & ((number[:, None, :] == 0) | (number[:, None, :] == number[:, :, None]))  # [b, query, key]
        mask = torch.zeros(b, 1, length, length, dtype=pick().dtype).masked_fill(~sees[:, None], -1e4)
        turns = language.rotary_emb(x, place)
        for i, layer in enumerate(language.layers):
            if wanted and i in LOOKING:
                looked = looked + astray(layer, x, turns, sees, wanted) / len(LOOKING)
            x = layer(x, attention_mask=mask, position_ids=place, position_embeddings=turns)
        asked = target != -100
        logits = model.lm_head(language.norm(x)[:, CELLS + 1 :][asked])  # [answered tokens, vocabulary]
    return cross_entropy(logits.float(), target[asked], reduction="none"), looked


def astray(
    layer: nn.Module, x: torch.Tensor, turns: tuple[torch.Tensor, ...], sees: torch.Tensor, wanted: Sequence[Look]
) -> torch.Tensor:
    """How little of the attention of a layer's heads goes where it is `wanted`: without this, answers are learnt from all
    cells at once, and nothing is ever looked up."""
    attention, x = layer.self_attn, layer.input_layernorm(x)
    query, key = (
        project(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for project in (attention.q_proj, attention.k_proj)
    )  # [b, heads, length, side]
    query, key = apply_rotary_pos_emb(query, key, *turns)
    line, head, at, there = zip(*wanted, strict=True)
    score = (query @ key.transpose(-1, -2))[line, head, at].float() * attention.scaling  # [looks, length]
    share = score.masked_fill(~sees[line, at], -1e4).log_softmax(-1)
    look = [i for i, groups in enumerate(there) for _ in groups]
    right = torch.zeros(len(look), share.shape[1], dtype=torch.bool)
    for row, keys in zip(right, (keys for groups in there for keys in groups), strict=True):
        row[keys] = True
    found = share[look].masked_fill(~right, -1e4).logsumexp(-1)  # [groups]
    each = torch.tensor([len(there[i]) for i in look])
    return -((found + each.log()) / each).sum() / len(wanted)  # nothing is lost where all groups get alike


def aid(aids: Aids, cells: torch.Tensor, batch: Batch) -> torch.Tensor:
    """What the aids lose on a batch."""
    lost = torch.zeros(()) if batch.opinion is None else 2 * aids.forgotten(cells, batch.opinion)
    if batch.drawn:
        lost = lost + aids.scenes(cells, batch.drawn)
    if any(one is not None for one in batch.found):
        lost = lost + aids.photos(cells, batch.found)
    return lost


def loss_of(
    model: FastVlmForConditionalGeneration,
    aids: Aids,
    tokenizer: Tokenizer,
    looks: Looks,
    batch: Batch,
    before: FastVlmForConditionalGeneration | None = None,
    kept: float = KEPT,
) -> tuple[torch.Tensor, torch.Tensor]:
    """What is to be made small for a batch: the words' loss, and the aids'. Of all but stickers the tower is to see what it
    saw `before`: else captions suffer from each sticker that it learns (Li & Hoiem, Learning without Forgetting, 2016)."""

    def ids(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False).ids

    words: list[list[list[int]]] = []
    covered = batch.drawn or batch.found
    with torch.set_grad_enabled(not batch.frozen):
        cells = cells_of(model, batch.halfway)
    said, aided = torch.zeros(()), torch.zeros(())
    if batch.talks:
        packed = pack(encode(tokenizer, batch.talks))
        wanted = looks(packed, covered, photos=not batch.drawn) if covered else ()
        each, looked = losses(model, cells, packed, wanted, 0.0 if batch.drawn else HIDDEN)
        said, aided = each.mean(), 0.3 * looked
    if not batch.frozen:
        aided = aided + aid(aids, cells, batch)
        if before and kept and not batch.drawn:
            with torch.no_grad():
                once = cells_of(before, batch.halfway).float()
            aided = aided + kept * mse_loss(cells.float(), once) / once.var()
    if batch.opinion is not None:
        words = [[ids(name)] for name in batch.names]
    elif covered and not batch.frozen:
        brought = [{j: told(thing) for j, thing in (one or {}).items()} for one in covered]
        words = [[ids(one.get(j, "")) for j in range(CELLS)] for one in brought]
    if words:
        with autocast():
            seen = model.model.language_model.norm(model.model.multi_modal_projector(cells))  # [b, 49, 256]
            logits = model.lm_head(seen if len(words[0]) == CELLS else seen.mean(1, keepdim=True))
        aided = aided + 0.5 * spoken(logits, words)
    return said, aided


def optimizers_of(model: FastVlmForConditionalGeneration, aids: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the language model and the projector, AdamW for the rest of what learns. Each group names the
    `peak` of its rate: the tower's is smaller."""
    language = model.model.language_model.layers, model.model.multi_modal_projector
    matrices = [p for part in language for p in part.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [
        (n, p) for part in (model, aids) for n, p in part.named_parameters() if p.requires_grad and id(p) not in chosen
    ]
    groups = [
        {"params": [p for n, p in others if ("vision_tower" in n) == tower and (p.ndim >= 2) == wide],
         "weight_decay": 0.05 * wide, "peak": PEAK_TOWER if tower else PEAK}
        for tower in (False, True) for wide in (False, True)
    ]  # fmt: skip
    return [muon([{"params": matrices, "peak": PEAK}], weight_decay=0.05), torch.optim.AdamW(groups, betas=(0.9, 0.98))]


def begun(start: Path) -> dict[str, Any]:
    """What a training begins with: the average of another one's checkpoint and its aids, or a model that ships."""
    if start.is_dir():
        weights, aids = FastVlmForConditionalGeneration.from_pretrained(start, dtype=torch.float32).state_dict(), {}
    else:
        state = torch.load(start)
        weights, aids = state["average"], {"aids": state["aids"]}
    return dict.fromkeys(("model", "average", "before"), weights) | aids


class Run:
    """A training that resumes from its checkpoint: what learns, how far it is, and what it showed on the way. Without a
    checkpoint it begins from `start` (another one, or the folder of a model that ships), which stays in `before`."""

    def __init__(self, data: Path, file: Path, start: Path | None) -> None:
        words = FOLDER / "vlm-tokenizer.json"
        if not words.exists():
            shipped = (start or FOLDER) / "tokenizer.json"
            (Tokenizer.from_file(str(shipped)) if shipped.exists() else train_tokenizer(data)).save(str(words))
        self.file, self.tokenizer = file, Tokenizer.from_file(str(words))
        self.source = Source(data, features.tower().to(memory_format=torch.channels_last))
        self.model, self.aids = build(self.tokenizer.get_vocab_size()), Aids(list(self.source.scenes.names))
        self.looks = Looks(self.tokenizer, [*itertools.chain(*self.source.scenes.names.values())])
        self.average, self.before = (build(self.tokenizer.get_vocab_size()).eval() for _ in range(2))
        depthwise_in_fp32(self.model.model.vision_tower)
        self.optimizers = optimizers_of(self.model, self.aids)
        state = torch.load(file) if file.exists() else begun(start) if start else {}
        for name in MODELS:
            if name in state:
                getattr(self, name).load_state_dict(state[name])
        if start and "aids" not in state:
            self.acquaint()
        for optimizer, kept in zip(self.optimizers, state.get("optimizers", ()), strict=False):
            optimizer.load_state_dict(kept)
        spent, self.step, self.curve = state.get("spent", 0.0), state.get("step", 0), state.get("curve", [])
        language = self.model.model.language_model
        language.set_attn_implementation("eager")  # a third faster than sdpa on this mask
        for layer in language.layers:
            layer.compile(dynamic=True)  # half as fast again
        self.source.seed(self.step)
        self.first, self.saved = self.step, time.time()
        self.began = self.saved - spent * 60

    def acquaint(self, steps: int = 150) -> None:
        """The aids did not ship: they learn first, from the tower as it is."""
        optimizer = torch.optim.AdamW(self.aids.parameters(), lr=2e-3)
        for step in range(steps):
            batch = self.source.batch(("flickr8k", "people", "cells", "cells")[step % 4])
            with torch.no_grad():
                cells = cells_of(self.model, batch.halfway).float()
            loss = aid(self.aids, cells, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 20 > 17:
                print(f"aids, step {step}: loss {loss.item():.3f}", flush=True)

    def minutes(self) -> float:
        return (time.time() - self.began) / 60

    def learn(self, loss: torch.Tensor, rate: float) -> None:
        """One step down, at a share of each group's peak rate that rises over the first 100 steps."""
        self.step += 1
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        for group in groups:
            group["lr"] = group["peak"] * rate * min(1, (self.step - self.first) / 100)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - AVERAGED)
        if time.time() - self.saved > 240:
            self.save()

    def note(self, figures: dict[str, float]) -> None:
        """A point of the curve in the model card."""
        self.curve.append((round(self.minutes(), 2), figures))
        print(f"{self.minutes():.1f} min, step {self.step}, {figures}", flush=True)

    def save(self) -> None:
        state = {
            **{name: getattr(self, name).state_dict() for name in MODELS},
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "spent": self.minutes(),
            "step": self.step,
            "curve": self.curve,
        }
        torch.save(state, self.file.with_suffix(".new"))
        self.file.with_suffix(".new").replace(self.file)
        (FOLDER / f"curve-{self.file.stem}.json").write_text(json.dumps(self.curve), "utf-8")
        self.saved = time.time()


def prepare(data: Path) -> None:
    """Computes what the training reads of photos and of dreams, once."""
    features.ensure(data, "means")
    features.ensure(data, "halfway")
    answers = [said for row in vqa_text(data)[:-HELD_VQA] for said in row["answers"]]
    features.keep(portraits.FILE, portraits.cuts(data, held=False))
    features.keep(things.FILE, things.cuts(data, held=False))
    dreams.ensure(data, Names(data, answers, random.Random(0)))


def train(data: Path, minutes: float, out: Path, start: Path | None, only: Sequence[str] = ()) -> None:
    run = Run(data, FOLDER / "vlm.pt", start)
    shares = {kind: share for kind, share in SHARES.items() if not only or kind in only}
    recent: dict[str, list[float]] = {}
    while (spent := run.minutes()) < minutes:
        kind = run.source.rng.choices(list(shares), list(shares.values()))[0]
        said, aided = loss_of(run.model, run.aids, run.tokenizer, run.looks, run.source.batch(kind))
        run.learn(said + aided, max(0.01, 0.5 + 0.5 * math.cos(math.pi * spent / minutes)))
        for name, loss in ((kind, said), (f"{kind}, aids", aided)):
            if loss.item():
                recent.setdefault(name, []).append(loss.item())
        if run.step % 50 == 0:
            run.note({name: round(float(np.mean(found[-50:])), 3) for name, found in recent.items()})
    run.save()
    export(run.average, run.tokenizer, out)


def export(model: FastVlmForConditionalGeneration, tokenizer: Tokenizer, folder: Path) -> None:
    """The folder that `AutoModelForImageTextToText` and `AutoProcessor` load. Weights in fp16."""
    folder.mkdir(parents=True, exist_ok=True)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", additional_special_tokens=SPECIAL[2:],
        model_max_length=LONGEST, clean_up_tokenization_spaces=False,
    )  # fmt: skip
    side = {"height": features.SIZE, "width": features.SIZE}
    image = CLIPImageProcessor(
        size=side, crop_size=side, do_center_crop=False, image_mean=[0.5] * 3, image_std=[0.5] * 3, resample=3
    )
    LlavaProcessor(
        image, fast, patch_size=32, vision_feature_select_strategy="full", chat_template=TEMPLATE
    ).save_pretrained(folder)
    copy = build(tokenizer.get_vocab_size())
    copy.load_state_dict(model.state_dict())
    copy.half().save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("assets/models/quartet-vlm"))
    parser.add_argument("--minutes", type=float, default=128)
    parser.add_argument(
        "--start", type=Path, help="a checkpoint or a model's folder to start from where there is none yet"
    )
    parser.add_argument("--only", nargs="+", choices=SHARES, default=(), help="steps of these kinds and no others")
    options = parser.parse_args()
    torch.manual_seed(0)
    prepare(options.data)
    train(options.data, options.minutes, options.out, options.start, options.only)


if __name__ == "__main__":
    main()
