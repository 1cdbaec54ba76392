"""Measures the bundled models on held-out data, through `pipelines` as a user calls it, and keeps the figures.

`--limit` takes that many photos or questions of each set, evenly spread. Figures go to `evaluation.json` in each
model's folder; the model cards are written from there (`tools/training/cards.py`)."""

import argparse
import importlib.util
import json
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import PIL.Image

from pipelines import ask, caption, classify
from tools.bench import timed
from tools.training import features, portraits, synthetic, things
from tools.training.features import rows
from tools.training.paired import Paired
from tools.training.room_answers import daquar
from tools.training.scenes import Scenes
from tools.training.stickers import PAINTS
from tools.training.train_clip import IMAGENETTE
from tools.training.train_vlm import HELD_VQA, answered, easy_vqa, vqa_text

MODELS = Path("assets/models")
PEOPLE = "man|men|woman|women|person|people|boys?|girls?|child|children"
ATHLETES = "surfers?|skiers?|climbers?|hikers?|players?|snowboarders?"
SOMEBODY = re.compile(rf"\b({PEOPLE}|persons|{ATHLETES}|baby|toddler)\b")
ALIVE = re.compile(rf"\b({PEOPLE}|persons|{ATHLETES}|dogs?)\b")


def spread(items: Sequence[Any], limit: int) -> list[Any]:
    """`limit` of the items, evenly spread; all of them for 0."""
    return list(items)[:: max(1, len(items) // limit)][:limit] if limit else list(items)


def scorer(data: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("score", data.parent / "score.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(data.parent / "score.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- CLIP -----------------------------------------------------------------------------------------------------------


def retrieval(data: Path, limit: int) -> dict[str, float]:
    """Text to photo among the held-out Flickr8k photos; always all of them: their number is part of the measure."""
    held = features.held_photos(data)
    photos = classify.embed_photos([data / "flickr8k" / "images" / row["image"] for row in held])  # [1000, d]
    texts = classify.embed_texts([text for row in held for text in row["captions"]])  # [5000, d]
    similar = texts @ photos.T
    rank = (similar > similar[np.arange(len(texts)), np.arange(len(texts)) // 5][:, None]).sum(1)
    return {"R@1": float((rank < 1).mean()), "R@10": float((rank < 10).mean()), "n": len(texts)}


def top1(photos: list[tuple[Any, str]], labels: list[str]) -> dict[str, float]:
    right = [classify.run(photo, labels).top(1)[0].label == label for photo, label in photos]
    return {"top-1": float(np.mean(right)), "n": len(right)}


def imagenette(data: Path, limit: int) -> dict[str, float]:
    """Imagenette photos of ten classes among all 1,000 ImageNet names."""
    labels = [row["name"] for row in rows(data / "imagenet_classes.jsonl")]
    photos = [
        (data / "imagenette" / "images" / row["image"], labels[IMAGENETTE[row["label"]]])
        for row in spread(rows(data / "imagenette" / "labels.jsonl"), limit)
    ]
    return top1(photos, labels)


def cifar10(data: Path, limit: int) -> dict[str, float]:
    file = np.load(data / "cifar10" / "cifar10_dev.npz")
    labels, opened = [str(name) for name in file["classes"]], features.open_picture(data, "cifar10")
    places = spread(range(len(file["labels"])), limit)
    return top1([(opened(str(i)), labels[int(file["labels"][i])]) for i in places], labels)


def of_dogs(data: Path) -> list[tuple[Path, list[str]]]:
    """Held-out photos of dogs, as most captions say, and of no people; and the captions."""
    people = re.compile(rf"\b({PEOPLE})\b", re.IGNORECASE)
    told = [(row["image"], row["captions"]) for row in features.held_photos(data)]
    return [
        (data / "flickr8k" / "images" / name, said)
        for name, said in told
        if sum("dog" in one.lower() for one in said) >= 4 and not people.search(" . ".join(said))
    ]


def dogs(data: Path, limit: int) -> dict[str, float]:
    """Held-out photos of dogs among ten animals."""
    animals = ["dog", "cat", "horse", "cow", "sheep", "bird", "rabbit", "bear", "elephant", "lion"]
    return top1([(photo, "dog") for photo, _ in spread(of_dogs(data), limit)], animals)


def scenes(data: Path, limit: int) -> dict[str, float]:
    found = rows(data / "intel_scenes" / "labels.jsonl")
    photos = [(data / "intel_scenes" / "images" / row["image"], row["label"]) for row in spread(found, limit)]
    return top1(photos, sorted({row["label"] for row in found}))


# ---- captions and answers -------------------------------------------------------------------------------------------


def captions(data: Path, limit: int) -> dict[str, float]:
    """Always of all 1,000 photos: how much a word counts depends on how many captions hold it."""
    score = scorer(data)
    held = features.held_photos(data)
    written = {row["image"]: caption.run(data / "flickr8k" / "images" / row["image"]).text for row in held}
    mean, _ = score.cider_d(written, {row["image"]: row["captions"] for row in held})
    repeated = sum(map(score.repeats, written.values())) / len(written)
    empty = sum(not text.strip() for text in written.values())
    return {
        "CIDEr-D": mean,
        "repeating": repeated,
        "empty": empty,
        "different": len(set(written.values())),
        "n": len(held),
    }


def landscapes(data: Path, limit: int) -> dict[str, float]:
    """Held-out photos of forests, mountains, glaciers and seas: how many captions tell of people or dogs, which hardly any shows."""
    named = [*zip(features.names(data, "intel_scenes"), features.labels(data, "intel_scenes"), strict=True)]
    folder, held = data / "intel_scenes" / "images", features.held_names(data, "intel_scenes")
    shown = [folder / name for name, label in named if name in held and label not in ("buildings", "street")]
    told = [bool(ALIVE.search(caption.run(photo).text)) for photo in shown]
    return {"with people or dogs": float(np.mean(told)), "n": len(told)}


def heads(data: Path, limit: int) -> dict[str, float]:
    """Heads and shoulders cut from held-out photos: how many captions tell of somebody, and of whom the photo's captions tell;
    and how often a man is told from a woman."""
    told: dict[str, list[bool]] = {"of somebody": [], "of whom": [], "man or woman": []}
    for (who, _), part in spread([*portraits.cuts(data, held=True)], limit):
        text = caption.run(part).text
        told["of somebody"].append(bool(SOMEBODY.search(text)))
        told["of whom"].append(bool(re.search(rf"\b({portraits.WHO[who]})\b", text)))
        if who in ("man", "woman"):
            told["man or woman"].append(ask.run(part, "Is this a man or a woman?").text == who)
    return {kind: float(np.mean(found)) for kind, found in told.items()} | {"n": len(told["of whom"])}


def named(data: Path, limit: int) -> dict[str, float]:
    """Things cut from held-out photos: how many captions, and answers to what it is, say what people call it."""
    told: dict[str, list[bool]] = {"caption": [], "answer": []}
    calls = {things.called(kind): things.calls(kind) for kind in things.CALLED}
    for (name, *_), part in spread([*things.cuts(data, held=True)], limit):
        call = calls[name]
        told["caption"].append(bool(call.search(caption.run(part).text)))
        told["answer"].append(bool(call.search(ask.run(part, "What is this?").text)))
    return {kind: float(np.mean(found)) for kind, found in told.items()} | {"n": len(told["answer"])}


def numbers(data: Path, limit: int) -> dict[str, float]:
    """How many answers are right of how many dogs there are, where captions tell of one, or of two; and of how many people, of
    dogs and of cuts of things, where there are none."""
    shown = spread(of_dogs(data), limit)
    one, two = ([photo for photo, said in shown if synthetic.dogs(said) == number] for number in (1, 2))
    cuts = [part for _, part in spread([*things.cuts(data, held=True)], limit)]
    dogs, people = "How many dogs are there?", "How many people are there?"
    asked = {"one dog": (one, dogs, "1"), "two dogs": (two, dogs, "2"), "nobody by dogs": ([photo for photo, _ in shown], people, "0"),
             "nobody by things": (cuts, people, "0")}  # fmt: skip
    return by_kind(
        {
            kind: [ask.run(photo, question).text == answer for photo in photos]
            for kind, (photos, question, answer) in asked.items()
        }
    )


def cut_out(data: Path, limit: int) -> dict[str, float]:
    """Things cut from held-out photos, among the names of all kinds of them, and people, among six names."""
    cuts = [*things.cuts(data, held=True, crowded=True)]
    called = top1([(part, thing.name) for thing, part in cuts], [*map(things.called, things.CALLED)])
    people = top1([(part, one.who) for one, part in portraits.cuts(data, held=True)], [*portraits.WHO])
    return {"things": called["top-1"], "people": people["top-1"], "n": called["n"] + people["n"]}


Asked = list[tuple[Path, str, str]]  # photo, question, answer


def held_out(data: Path, dataset: str, talks: dict[str, list[tuple[str, str]]]) -> Asked:
    """All questions about the photos of a set that training leaves out."""
    names = sorted(features.held_names(data, dataset) & talks.keys())
    return [(data / dataset / "images" / name, *exchange) for name in names for exchange in talks[name]]


def made_of_captions(data: Path) -> Asked:
    """Questions that rules made from the captions of held-out photos: synthetic, but about real photos."""
    rng = random.Random(0)
    folder = data / "flickr8k" / "images"
    held = features.held_photos(data)
    return [
        (folder / row["image"], *exchange) for row in held for exchange in synthetic.questions(row["captions"], rng)
    ]


def exact(data: Path, asked: Asked) -> dict[str, float]:
    score = scorer(data)
    right = [score.exact_match(ask.run(photo, question).text, answer) for photo, question, answer in asked]
    return {"exact match": float(np.mean(right)), "n": len(right)}


def by_kind(right: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {kind: float(np.mean(found)) for kind, found in right.items()} | {"n": sum(map(len, right.values()))}


def shapes(data: Path, limit: int) -> dict[str, float]:
    return exact(data, spread(held_out(data, "easy_vqa", easy_vqa(data)), limit))


def rooms(data: Path, limit: int) -> dict[str, float]:
    return exact(data, spread(held_out(data, "daquar", daquar(data)), limit))


def guesses(data: Path, limit: int) -> dict[str, float]:
    """Held-out VQA v2 questions, whose photos we don't have, about the mean of some photos: what can be guessed."""
    score = scorer(data)
    names = spread(features.names(data, "flickr8k")[-1000:], 8)
    opened = features.open_picture(data, "flickr8k")
    blur = np.mean([np.asarray(opened(name).resize((features.SIZE, features.SIZE))) for name in names], 0)
    picture = PIL.Image.fromarray(blur.astype(np.uint8))
    right: dict[str, list[float]] = {}
    for row in spread(vqa_text(data)[-HELD_VQA:], limit):
        found = score.vqa_accuracy(ask.run(picture, row["question"]).text, row["answers"])
        right.setdefault(answered(row), []).append(found)
    return by_kind(right)


def asked_of_others(data: Path) -> Asked:
    """Questions of VQA v2 that training leaves out, put to held-out photos whose captions answer them (`paired`)."""
    rng, folder = random.Random(0), data / "flickr8k" / "images"
    held = features.held_photos(data)
    paired = Paired(vqa_text(data)[-HELD_VQA:], {i: row["captions"] for i, row in enumerate(held)})
    return [
        (folder / row["image"], *exchange)
        for i, row in enumerate(held)
        for exchange in paired.about(i, synthetic.salient(row["captions"])[1], rng)
    ]


def told(data: Path, limit: int, asked: Callable[[Path], Asked] = made_of_captions) -> dict[str, float]:
    right: dict[str, list[bool]] = {}
    for photo, question, answer in spread(asked(data), 3 * limit):
        right.setdefault(answered({"answers": [answer]}), []).append(ask.run(photo, question).text == answer)
    return by_kind(right)


def stickers(data: Path, limit: int, part: str = "train") -> dict[str, float]:
    """Sticker scenes that training did not draw, asked for colour, number, presence, place and "what is …", as many each."""
    score, scenes = scorer(data), Scenes(part, seed=1_000_003)
    kinds = ["colour", "count", "presence", "place", *["what"] * (part != "pairs")]  # "what is this?" is for one thing
    right: dict[str, list[bool]] = {kind: [] for kind in kinds}
    each = max(20, limit // len(right))
    while any(len(found) < each for found in right.values()):
        scene = scenes.scene()
        exchanges, picture = scenes.exchanges(scene), scenes.draw(scene)
        for kind, found in right.items():
            if exchanges[kind] and len(found) < each:
                question, answer = scenes.rng.choice(exchanges[kind])
                found.append(score.exact_match(ask.run(picture, question).text, answer))
    return {kind: float(np.mean(found)) for kind, found in right.items()} | {"n": each}


def sticker_labels(data: Path, limit: int, part: str = "train") -> dict[str, float]:
    """Sticker scenes of one thing that training did not draw: its name among twenty, and its colour among all of them."""
    drawn, names, hues = Scenes(part, seed=2_000_003), list[bool](), list[bool]()
    while len(names) < (limit or 400):
        scene = drawn.scene()
        if len(scene.things) == 1:
            (thing,), picture = scene.things, drawn.draw(scene)
            others = [
                name for icon in drawn.icons if (name := drawn.names[icon][0]) != thing.name and icon != thing.icon
            ]
            labels = [thing.name, *drawn.rng.sample(others, min(19, len(others)))]
            names.append(classify.run(picture, labels).top(1)[0].label == thing.name)
            if thing.paint:
                found = classify.run(picture, [f"{paint} {thing.name}" for paint in PAINTS]).top(1)[0].label
                hues.append(found == f"{thing.paint} {thing.name}")
    return {"name": float(np.mean(names)), "colour": float(np.mean(hues)), "n": len(names)}


def moments(data: Path, limit: int) -> dict[str, float]:
    """Milliseconds for one photo, once loaded: the median of ten."""
    photos = [data / "flickr8k" / "images" / name for name in features.names(data, "flickr8k")[-11:]]
    times = []
    for photo in photos:
        start = time.perf_counter()
        classify.embed_photos([photo])
        times.append(1000 * (time.perf_counter() - start))
    return {"ms": float(np.median(times[1:])), "n": len(times) - 1}


def waits(data: Path, limit: int) -> dict[str, float]:
    """Seconds to the first word of a caption and to the whole, once loaded: the medians of ten."""
    photos = [data / "flickr8k" / "images" / name for name in features.names(data, "flickr8k")[-11:]]
    times = np.array([timed(caption.stream(photo)) for photo in photos][1:])  # [10, 2]
    first, whole = np.median(times, 0)
    return {"first word, s": float(first), "whole, s": float(whole), "n": len(times)}


MEASURES: dict[str, dict[str, Callable[[Path, int], dict[str, float]]]] = {
    "quartet-clip": {
        "Text to photo, 1,000 held-out Flickr8k photos": retrieval,
        "Imagenette photos among the 1,000 ImageNet names": imagenette,
        "CIFAR-10 (32 px), 10 labels": cifar10,
        "Dogs of Flickr8k's held-out photos, 10 animals": dogs,
        "Intel scenes, 6 labels": scenes,
        "Cut from held-out photos: things, 65 labels; people, 6 labels": cut_out,
        "Stickers, 20 labels; 10 colours": sticker_labels,
        "Stickers, held-out objects, 12 labels; 10 colours": partial(sticker_labels, part="objects"),
        "One photo on the machine that measured": moments,
    },
    "quartet-vlm": {
        "Captions, held-out Flickr8k photos": captions,
        "Captions of held-out landscapes": landscapes,
        "Captions of portraits, cut from held-out photos": heads,
        "Captions of things, cut from held-out photos; what is this?": named,
        "Questions, easy-VQA, held-out pictures": shapes,
        "Questions, DAQUAR, held-out rooms": rooms,
        "Questions, VQA v2 without their photos": guesses,
        "Questions made from captions (synthetic), held-out Flickr8k photos": told,
        "Questions of VQA v2, put to held-out photos by their captions": partial(told, asked=asked_of_others),
        "How many, held-out photos of dogs and cuts of things": numbers,
        "Questions, sticker scenes": stickers,
        "Questions, sticker scenes, held-out objects": partial(stickers, part="objects"),
        "Questions, sticker scenes, held-out colours of objects": partial(stickers, part="colours"),
        "Questions, sticker scenes, held-out pairs of objects": partial(stickers, part="pairs"),
        "One caption on the machine that measured": waits,
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--model", choices=MEASURES, action="append")
    options = parser.parse_args()
    for model in options.model or MEASURES:
        figures = {}
        for name, measure in MEASURES[model].items():
            start = time.perf_counter()
            found = measure(options.data, options.limit)
            figures[name] = {key: round(value, 4) for key, value in found.items()}
            shown = "  ".join(f"{key} {value:g}" for key, value in figures[name].items())
            print(f"{name:52} {shown}  ({time.perf_counter() - start:.0f} s)", flush=True)
        (MODELS / model / "evaluation.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
