"""Things alone, cut from photos where a detector and people agree on them: a chair, a bicycle, a bottle on a shelf.

Photos that people take of one thing are rare in Flickr8k, and its captions speak of whoever is near. A detector finds the
thing; Flickr8k's captions, or DAQUAR's questions and answers, name it as well. Captions of the cut are synthetic."""

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import PIL.Image

from tools.training import detector, features
from tools.training.detector import Found
from tools.training.features import HELD_DAQUAR
from tools.training.portraits import CAPTIONS
from tools.training.scenes import Exchange
from tools.training.stickers import article
from tools.training.synthetic import colours, tidy, whether

FILE = features.FOLDER / "things.npy"  # [n, 112, 14, 14]; what they show stands in a .json
EACH = 4  # cuts of a thing
SURE, LEAST = 0.4, 0.15  # of the detector; of the photo's side that the thing takes
VIEWS = ("a close up", "a photo", "a close up photo", "a picture")
CALLED = {  # the detector's name, and what people call it; first as captions shall
    "bicycle": "bicycle|bike", "car": "car|vehicle|suv|taxi", "motorcycle": "motorcycle|motorbike|dirt ?bike|bike",
    "airplane": "airplane|plane|jet", "bus": "bus|buses", "train": "train", "truck": "truck",
    "boat": "boat|canoe|kayak|raft|ship|sailboat", "bench": "bench|benches", "bird": "bird|duck|goose|geese|seagull|pigeon",
    "cat": "cat|kitten", "horse": "horse|pony", "sheep": "sheep|lamb", "cow": "cow|bull|cattle", "elephant": "elephant",
    "umbrella": "umbrella", "frisbee": "frisbee", "sports ball": "ball|basketball|football|volleyball", "kite": "kite",
    "skateboard": "skateboard", "surfboard": "surfboard", "bottle": "bottle", "cup": "cup|mug", "bowl": "bowl", "cake": "cake",
    "chair": "chair", "couch": "couch|sofa", "potted plant": "plant", "bed": "bed", "dining table": "table", "toilet": "toilet",
    "tv": "television|tv", "laptop": "laptop", "keyboard": "keyboard", "microwave": "microwave",
    "oven": "oven|stove", "sink": "sink", "refrigerator": "refrigerator|refridgerator|fridge", "book": "book",
    "clock": "clock", "vase": "vase", "teddy bear": "teddy bear|stuffed animal|toy", "traffic light": "traffic light|stoplight",
    "fire hydrant": "fire hydrant|hydrant", "stop sign": "stop sign", "backpack": "backpack", "handbag": "handbag|purse|bag",
    "suitcase": "suitcase|luggage", "skis": "skis", "snowboard": "snowboard", "baseball bat": "baseball bat|bat",
    "baseball glove": "baseball glove|glove|mitt", "tennis racket": "tennis racket|racket|racquet", "wine glass": "wine glass|glass",
    "banana": "banana", "apple": "apple", "pizza": "pizza", "donut": "donut|doughnut", "cell phone": "cell phone|phone|cellphone",
    "hot dog": "hot dog|hotdog", "sandwich": "sandwich", "tie": "tie|necktie", "bear": "bear", "zebra": "zebra", "giraffe": "giraffe",
}  # fmt: skip


class Closeup(NamedTuple):
    """A part of a photo that shows a thing: its name ("bench"), what captions say of it, and its colour, "" if nobody tells."""

    name: str
    captions: list[str]
    colour: str = ""

    def questions(self, rng: random.Random) -> list[Exchange]:
        """What it is, what it is not, and its colour."""
        other = rng.choice(
            ["dog", "man", *(one for one in map(called, CALLED) if one not in ("bed", "table", self.name))]
        )
        there, absent = (whether(article(one), rng) for one in (self.name, other))
        what = rng.choice(("what is this?", "what is in the photo?", "what do you see?"))
        asked = [(there, "yes"), (absent, "no"), (what, self.name)]
        return asked + [(f"what color is the {self.name}?", self.colour)] * bool(self.colour)


def called(name: str) -> str:
    return CALLED[name].split("|")[0]


def described(name: str, colour: str, rng: random.Random) -> list[str]:
    """Captions of a thing: plain ones, and with its colour where that is known."""
    plain = [article(name), *(f"{view} of {article(name)}" for view in VIEWS)]
    coloured = article(f"{colour} {name}")
    known = [coloured, f"a close up of {coloured}"] if colour else []
    return known + rng.sample(plain, CAPTIONS - len(known))


def around(box: tuple[float, ...], rng: random.Random) -> tuple[float, float, float, float]:
    """A part of the photo, as wide as high, that holds the box and something around it: left, top, right, bottom (0 to 1)."""
    left, top, right, low = box
    side = min(1.0, max(right - left, low - top) * rng.uniform(1.05, 1.7))
    x, y = (min(max((a + b) / 2 - side * rng.uniform(0.4, 0.6), 0), 1 - side) for a, b in ((left, right), (top, low)))
    return x, y, x + side, y + side


def share(thing: Found, part: tuple[float, ...]) -> tuple[float, float]:
    """How much of a thing a part of the photo holds, and how much of the part the thing fills."""
    across, down = (min(thing.box[i + 2], part[i + 2]) - max(thing.box[i], part[i]) for i in (0, 1))
    common = max(across, 0) * max(down, 0)
    left, top, right, low = thing.box
    return common / max((right - left) * (low - top), 1e-6), common / ((part[2] - part[0]) * (part[3] - part[1]))


def alone(thing: Found, part: tuple[float, ...], things: list[Found], crowded: bool = False) -> bool:
    """Whether a part of a photo shows the thing, and no other of its kind and, unless `crowded`, hardly anybody besides."""
    for other in things:
        of_it, of_part = share(other, part)
        if other != thing and (
            (other.name == thing.name and of_it > 0.3)
            or (other.name in ("person", "dog") and of_part > 0.05 and not crowded)
        ):
            return False
    return share(thing, part)[0] > 0.9


def told(data: Path, dataset: str, held: bool) -> dict[int, list[str]]:
    """What people said of each photo, by its number in the data set: of held-out photos or of the others."""
    if dataset == "flickr8k":
        rows = enumerate(features.rows(data / "flickr8k" / "captions.jsonl"))
        return {i: [*map(tidy, row["captions"])] for i, row in rows if row["split"] == ("dev" if held else "train")}
    names = features.names(data, dataset)
    chosen = {name: i for i, name in enumerate(names) if (i >= len(names) - HELD_DAQUAR) == held}
    said: dict[int, list[str]] = {}
    for row in features.rows(data / dataset / "questions.jsonl"):
        if row["image"] in chosen:
            said.setdefault(chosen[row["image"]], []).append(f"{row['question']} {row['answer']}".replace("_", " "))
    return said


def cuts(data: Path, held: bool, crowded: bool = False) -> Iterator[tuple[Closeup, PIL.Image.Image]]:
    """Things, and what shows them, from held-out photos or from the others; `crowded`: with people and dogs about, too."""
    for dataset in ("flickr8k", "daquar"):
        said, opened = told(data, dataset, held), features.open_picture(data, dataset)
        names = features.names(data, dataset)
        for i, things in enumerate(detector.found(data, dataset)):
            rng = random.Random(i)
            for thing in things if i in said else ():
                large = max(thing.box[2] - thing.box[0], thing.box[3] - thing.box[1]) > LEAST
                if thing.name not in CALLED or thing.sure < SURE or not large:
                    continue
                text, name = " . ".join(said[i]), called(thing.name)
                if not re.search(rf"\b(?:{CALLED[thing.name]})s?\b", text):
                    continue
                said_of_it = colours(name, text) if sum(one.name == thing.name for one in things) == 1 else set()
                colour = said_of_it.pop() if len(said_of_it) == 1 else ""
                for _ in range(EACH):
                    part = around(thing.box, rng)
                    if not alone(thing, part, things, crowded):
                        continue
                    photo = opened(names[i])
                    left, top, right, low = part
                    wide, high = photo.size
                    shown = photo.crop((left * wide, top * high, right * wide, low * high))
                    if rng.random() < 0.5:
                        shown = shown.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)
                    yield Closeup(name, described(name, colour, rng), colour), shown
