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
from tools.training.detector import Found, stretch
from tools.training.portraits import CAPTIONS, cut_out
from tools.training.room_answers import daquar
from tools.training.scenes import Exchange
from tools.training.stickers import article, plural
from tools.training.synthetic import colours, counted, how_many, tidy, whether

FILE = features.FOLDER / "things.npy"  # [n, 120, 14, 14]; what they show stands in a .json
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
        """What it is, what it is not, how many there are of it and of people, and its colour."""
        other = rng.choice(
            ["dog", "man", *(one for one in map(called, CALLED) if one not in ("bed", "table", self.name))]
        )
        there, absent = (whether(article(one), rng) for one in (self.name, other))
        what = rng.choice(("what is this?", "what is in the photo?", "what do you see?"))
        asked = [(there, "yes"), (absent, "no"), (what, self.name)]
        asked.append((how_many(plural(self.name), rng), "1"))
        asked += counted(0, rng)
        it = rng.choice(("it", f"the {self.name}"))
        return asked + [(f"what color is {it}?", self.colour)] * bool(self.colour)


def called(kind: str) -> str:
    """How captions shall call what the detector calls `kind`."""
    return CALLED[kind].split("|")[0]


def calls(kind: str) -> re.Pattern[str]:
    """Whatever people call it, one or several."""
    return re.compile(rf"\b(?:{CALLED[kind]})s?\b")


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
    left, right, across = stretch(thing.box[0], thing.box[2], part[0], part[2] - part[0])
    top, low, down = stretch(thing.box[1], thing.box[3], part[1], part[3] - part[1])
    return across * down, max(right - left, 0) * max(low - top, 0)


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


def told(data: Path, dataset: str) -> dict[str, list[str]]:
    """What people said of each photo, by its name."""
    if dataset == "daquar":
        return {name: [*map(" ".join, exchanges)] for name, exchanges in daquar(data).items()}
    return {row["image"]: [*map(tidy, row["captions"])] for row in features.rows(data / dataset / "captions.jsonl")}


def agreed(things: list[Found], text: str) -> Iterator[tuple[Found, str]]:
    """Things, sure and large enough, that the text names as well, and their colours, "" where it tells of none or of several."""
    for thing in things:
        left, top, right, low = thing.box
        clear = thing.sure >= SURE and max(right - left, low - top) > LEAST
        if clear and thing.name in CALLED and calls(thing.name).search(text):
            lone = sum(one.name == thing.name for one in things) == 1
            found = colours(called(thing.name), text) if lone else set()
            yield thing, found.pop() if len(found) == 1 else ""


def cuts(data: Path, held: bool, crowded: bool = False) -> Iterator[tuple[Closeup, PIL.Image.Image]]:
    """Things, and what shows them, from held-out photos or from the others; `crowded`: with people and dogs about, too."""
    for dataset in ("flickr8k", "daquar"):
        said, opened = told(data, dataset), features.open_picture(data, dataset)
        names, kept_out = features.names(data, dataset), features.held_names(data, dataset)
        for i, (photo, things) in enumerate(zip(names, detector.found(data, dataset), strict=True)):
            if photo not in said or (photo in kept_out) != held:
                continue
            rng = random.Random(i)
            for thing, colour in agreed(things, " . ".join(said[photo])):
                whole, name = opened(photo), called(thing.name)
                for _ in range(EACH):
                    part = around(thing.box, rng)
                    if alone(thing, part, things, crowded):
                        shown = cut_out(whole, part, rng)
                        yield Closeup(name, described(name, colour, rng), colour), shown
