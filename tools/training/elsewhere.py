"""Captions of photos that nobody captioned: of rooms, of landscapes and streets, of things, from what else is known of them.

Flickr8k's photos nearly always show people or dogs, so of others a captioner tells of people who are not there. DAQUAR's
questions and answers name what stands in its rooms, Intel's scenes and Imagenette have labels, and a detector counts
people. The captions say no more than that; they are synthetic."""

import random
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tools.training import detector, features
from tools.training.scenes import Exchange
from tools.training.stickers import article
from tools.training.synthetic import inside_or_outside

CAPTIONS = 5  # of each photo
FURNITURE = {  # what questions and answers call it, what captions do, and the rooms that it tells of; first what stands out most
    "bed": ("bed", "bedroom"), "sofa|couch": ("couch", "living room"), "toilet": ("toilet", "bathroom"),
    "bath ?tub": ("bathtub", "bathroom"), "stove|oven": ("stove", "kitchen"),
    "refri\\w+|fridge": ("refrigerator", "kitchen"), "microwave": ("microwave", "kitchen"),
    "dish ?washer": ("dishwasher", "kitchen"), "sink": ("sink", "kitchen", "bathroom"), "fireplace": ("fireplace", "living room"),
    "piano": ("piano", "living room"), "monitor|computer": ("computer", "office"), "laptop": ("laptop", "office"),
    "printer|photocopying machine": ("printer", "office"), "white ?board|blackboard": ("board on the wall", "classroom"),
    "book ?shelf|book ?rack": ("bookshelf", "office"), "television|tv": ("television", "living room"), "desk": ("desk", "office"),
    "table": ("table",), "chair": ("chair",), "night stand": ("nightstand", "bedroom"), "cabinet": ("cabinet",),
    "lamp": ("lamp",), "mirror": ("mirror",), "window": ("window",), "shelf|shelves": ("shelf",),
    "curtain|blinds": ("window",), "plant": ("plant",), "pillow": ("pillow",), "picture": ("picture on the wall",),
}  # fmt: skip
ROOM = (
    "{a} {room} with {first} and {second}", "{a} {room} with {first}, {second} and {third}", "{a} {room} with {first} in it",
    "{first} and {second} in {a} {room}", "{a} {room} has {first} and {second}",
)  # fmt: skip
PLACES = {  # what is true of nearly all photos with the label and without people
    "forest": ("woods", ["a forest with tall trees", "many trees in a forest", "a forest full of trees", "trees in the woods",
                         "a view of the woods with many trees"]),
    "mountain": ("mountains", ["a view of a mountain", "a large mountain in the distance", "mountains under the sky",
                               "a mountain range with the sky in the background", "a view of the mountains and the sky"]),
    "glacier": ("mountains", ["a mountain covered in snow and ice", "a snowy mountain", "snow and ice on a mountain",
                              "a view of a snowy mountain", "a large mountain covered with snow"]),
    "sea": ("ocean", ["a view of the ocean", "the ocean under the sky", "a large body of water", "waves in the ocean",
                      "the sea with the sky in the background"]),
    "buildings": ("city", ["a tall building in a city", "a large building with many windows", "a view of buildings in a city",
                           "a building under the sky", "a city with tall buildings"]),
    "street": ("street", ["a street with buildings on both sides", "a city street", "a view of a street in a city",
                          "a street in front of buildings", "an empty street with buildings"]),
    "church": ("church", ["a large church", "a church with a tower", "a view of a church", "an old church building",
                          "a church under the sky"]),
    "gas pump": ("gas station", ["a gas pump", "a gas pump at a gas station", "gas pumps at a station",
                                 "a gas station with a gas pump", "a close up of a gas pump"]),
    "garbage truck": ("street", ["a garbage truck", "a large truck on the street", "a garbage truck on the road",
                                 "a big truck parked on the street", "a truck on a street"]),
    "golf ball": ("", ["a golf ball", "a white golf ball", "a close up of a golf ball", "a white ball", "a small white golf ball"]),
    "parachute": ("sky", ["a parachute in the sky", "a parachute in the air", "a colorful parachute in the sky",
                          "a parachute flying in the sky", "a large parachute"]),
    "cassette player": ("", ["a cassette player", "an old cassette player", "a close up of a cassette player",
                             "a radio with a cassette player", "a tape player"]),
    "chain saw": ("", ["a chainsaw", "a close up of a chainsaw", "a chainsaw with a blade", "a photo of a chainsaw", "a large chainsaw"]),
    "French horn": ("", ["a french horn", "a brass instrument", "a close up of a french horn", "a horn", "a shiny brass horn"]),
    "tench": ("", ["a fish", "a large fish", "a close up of a fish", "a photo of a fish", "a big fish"]),
}  # fmt: skip
PEOPLED = {  # the same with people
    "street": ["people walking down a street", "people on a city street", "people walking on the street by buildings",
               "a street with people walking", "people in a street with buildings"],
    "chain saw": ["a person using a chainsaw", "a person holding a chainsaw", "a person cutting wood with a chainsaw",
                  "a person working with a chainsaw", "a person with a chainsaw"],
    "French horn": ["a person playing a french horn", "a person holding a french horn", "a musician playing a french horn",
                    "a person playing a brass instrument", "a person with a horn"],
    "tench": ["a person holding a fish", "a person holding a large fish", "a person with a big fish", "a person is holding up a fish",
              "a person with a fish in their hands"],
    "parachute": ["a person with a parachute", "a person in the air with a parachute", "a person hanging from a parachute",
                  "a person with a parachute in the sky", "a person flying with a parachute"],
}  # fmt: skip


class Photo(NamedTuple):
    """A photo by its number in a data set, and what is known of it: "" and None stand for what is not."""

    dataset: str
    number: int
    captions: Sequence[str]
    place: str
    inside: bool | None

    def questions(self, rng: random.Random) -> list[Exchange]:
        """Where it is, and whether that is indoors."""
        out = []
        if self.place:
            asked = (
                ("what room is this?", "what kind of room is this?") if self.inside else ("what place is this?",) * 2
            )
            out.append((rng.choice((*asked, "where is this?", "where was the photo taken?")), self.place))
        if self.inside is not None:
            ask = rng.choice(("is this {}?", "was this photo taken {}?", "is it {}?"))
            within = rng.random() < 0.5
            word = rng.choice(("inside", "indoors") if within else ("outside", "outdoors"))
            out += [(ask.format(word), "yes" if within == self.inside else "no"), inside_or_outside(self.inside, rng)]
        return out


def rooms(asked: dict[int, list[Exchange]]) -> list[Photo]:
    """Rooms whose questions and answers name two things or more, and things that tell of one kind of room more than of others."""
    rng, out = random.Random(0), []
    for number, exchanges in asked.items():
        said = " . ".join(part for exchange in exchanges for part in exchange).replace("_", " ")
        found = [thing for word, thing in FURNITURE.items() if re.search(rf"\b(?:{word})s?\b", said)]
        things = list(dict.fromkeys(name for name, *_ in found))
        kinds = Counter(kind for _, *kinds in found for kind in kinds).most_common()
        if len(things) > 1 and kinds and (len(kinds) == 1 or kinds[0][1] > kinds[1][1]):
            captions = [described(kinds[0][0], things, rng) for _ in range(CAPTIONS)]
            out.append(Photo("daquar", number, captions, kinds[0][0], True))
    return out


def described(room: str, found: list[str], rng: random.Random) -> str:
    """A room with two or three of what is `found` in it: mostly the first of them, which stand out."""
    few = sorted(rng.sample(found[:4], min(3, len(found))), key=found.index)
    few = few if len(few) > 2 else [*few, few[-1]]
    form = rng.choice([one for one in ROOM if len(found) > 2 or "{third}" not in one])
    first, second, third = map(article, few)
    return form.format(a=article(room).split(" ")[0], room=room, first=first, second=second, third=third)


def labelled(data: Path, dataset: str) -> list[Photo]:
    """Photos of Intel's scenes or of Imagenette where it is clear whether there are people: the captions of their label."""
    out = []
    for number, (label, things) in enumerate(
        zip(features.labels(data, dataset), detector.found(data, dataset), strict=True)
    ):
        people = detector.people(things)
        captions = PEOPLED.get(label, []) if people else PLACES.get(label, ("", []))[1] if people == 0 else []
        if captions:
            place = PLACES[label][0]
            out.append(Photo(dataset, number, captions, place, False if place else None))
    return out
