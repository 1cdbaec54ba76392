"""Heads and shoulders, cut from photos of one person: what people take of each other, and Flickr8k hardly has.

A detector tells where the person is, the photo's captions who it is, and in what clothes. Who sees the cut sees no more of
the photo, so its captions say no more either; they are synthetic."""

import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import PIL.Image

from tools.training import detector, features
from tools.training.detector import Found
from tools.training.scenes import Exchange
from tools.training.stickers import article
from tools.training.synthetic import COLOURS, counted, telling, tidy, whether

FILE = features.FOLDER / "portraits.npy"  # [n, 120, 14, 14]; what they show stands in a .json
EACH = 4  # cuts of a person
LEAST = 0.4  # of the photo's height that a person takes
CAPTIONS = 5  # of each
WHO = {  # how captions call a person, each caption once
    "man": "man|guy|gentleman", "woman": "woman|lady", "boy": "boy", "girl": "girl", "baby": "baby|infant",
    "child": "child|kid|toddler",
}  # fmt: skip
WORN = "shirt|t-shirt|jacket|coat|sweater|sweatshirt|hoodie|vest|jersey|dress|suit|hat|cap|helmet|sunglasses|glasses|goggles|scarf|headband"
PAIRED = {"sunglasses", "glasses", "goggles"}
COLOUR, HAIR = f"(?:{'|'.join(COLOURS)})", "blonde?|brown|black|dark|red|long|short|curly|white|gray|grey"
VIEWS = ("a close up", "a photo", "a portrait", "a close up photo", "a picture")


class Portrait(NamedTuple):
    """A part of a photo: who it is ("man"), and what captions say of it."""

    who: str
    captions: list[str]

    def questions(self, rng: random.Random) -> list[Exchange]:
        """Some of what may be asked: who it is, and who it is not."""
        others = ("dog", "cat", "car", "man", "woman", "boy", "girl")
        other = rng.choice([one for one in others[: 5 if self.who in ("child", "baby") else None] if one != self.who])
        there, absent = (whether(article(one), rng) for one in (self.who, other))
        asked = [
            (there, "yes"),
            (absent, "no"),
            *counted(1, rng),
            (rng.choice(("who is this?", "what is this?")), self.who),
            *[
                (f"is this a {a} or a {b}?", self.who)
                for a, b in (("man", "woman"), ("boy", "girl"))
                if self.who in (a, b)
            ],
        ]
        return rng.sample(asked, 3)


def who(said: list[str]) -> str:
    """Whom three captions or more name; "" where they don't agree."""
    count = {name: telling(said, rf"(?:{words})\b") for name, words in WHO.items()}
    name = max(count, key=count.__getitem__)
    return name if count[name] > 2 else ""


def described(name: str, said: list[str], rng: random.Random) -> list[str]:
    """Captions of a portrait of who has that `name`: half of them with clothes and hair that is `said` of the photo."""
    text, a = " . ".join(said), article(name)
    found = Counter(
        colour + what
        for colour, what in re.findall(rf"\b(?:in|wearing|with) (?:an? )?((?:{COLOUR} )?)({WORN})\b", text)
    )
    worn = [one if one.split()[-1] in PAIRED else article(one) for one, _ in found.most_common(2)]
    known = [form.format(a, one) for one in worn for form in ("{} wearing {}", "{} in {}", "a close up of {} in {}")]
    known += [f"{a} wearing {' and '.join(worn)}"] * (len(worn) > 1)
    known += [f"{a} with {hair} hair" for hair in dict.fromkeys(re.findall(rf"\b({HAIR})[- ]hair", text))]
    known += [f"a smiling {name}", f"{a} is smiling"] * (telling(said, "smil") > 1)
    chosen = rng.sample(known, min(3, len(known)))
    return chosen + [f"{view} of {a}" for view in rng.sample(VIEWS, CAPTIONS - len(chosen))]


def head(box: tuple[float, ...], rng: random.Random) -> tuple[float, float, float, float]:
    """A part of the photo around somebody's head and shoulders, as wide as high: left, top, right, bottom (0 to 1)."""
    left, top, right, low = box
    side = min(1.0, max((low - top) * rng.uniform(0.3, 0.55), (right - left) * rng.uniform(0.7, 1.1), 0.25))
    x = min(max((left + right) / 2 - side * rng.uniform(0.4, 0.6), 0), 1 - side)
    y = min(max(top - side * rng.uniform(0.0, 0.2), 0), 1 - side)
    return x, y, x + side, y + side


def alone(things: list[Found]) -> Found | None:
    """The one person in a photo, upright and near; None where there isn't just one such."""
    if detector.people(things) != 1:
        return None
    person = next(thing for thing in things if thing.name == "person")
    left, top, right, low = person.box
    return person if low - top > LEAST and low - top > 1.1 * (right - left) else None


def cut_out(photo: PIL.Image.Image, part: tuple[float, float, float, float], rng: random.Random) -> PIL.Image.Image:
    """A part of a photo: left, top, right, bottom (0 to 1); half of the time its mirror image."""
    left, top, right, low = part
    shown = photo.crop((left * photo.width, top * photo.height, right * photo.width, low * photo.height))
    return shown.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else shown


def cuts(data: Path, held: bool) -> Iterator[tuple[Portrait, PIL.Image.Image]]:
    """Portraits, and what they show, from held-out photos of Flickr8k or from those for training."""
    rows, opened = features.rows(data / "flickr8k" / "captions.jsonl"), features.open_picture(data, "flickr8k")
    split = "dev" if held else "train"
    for i, (row, things) in enumerate(zip(rows, detector.found(data, "flickr8k"), strict=True)):
        said = [*map(tidy, row["captions"])]
        person, name, rng = alone(things), who(said), random.Random(i)
        if person is None or not name or telling(said, r"(?:dog|cat|car)s?\b") or row["split"] != split:
            continue
        photo = opened(row["image"])
        for _ in range(EACH):
            part = cut_out(photo, head(person.box, rng), rng)
            yield Portrait(name, described(name, said, rng)), part
