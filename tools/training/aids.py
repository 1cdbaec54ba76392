"""What the vision-language model's tower learns beside words, and what it must not forget.

In a sticker scene each of the 49 cells names its object and its colour, and where it stands: the language model cannot tell
from a cell's number. On photos, dreamt ones too, the mean of the cells keeps ImageNet's classes, as the untouched tower saw
them."""

import math
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy, kl_div, l1_loss

from tools.training import features, words
from tools.training.detector import KINDS, Found
from tools.training.scenes import DESCRIBE, Exchange, Scene, sides
from tools.training.stickers import PAINTS, Thing, article
from tools.training.synthetic import whether

SIDE = 7  # cells a side
BROADEST = 130  # a name of more classes than this ("artifact") is no answer to "what is this?"
VAGUE = set(
    """arm barrier construction container controller covering craft device dip display drop equipment fin food game good
head home instrument landing patch platform protection ride round solid spring stand string sub support thrasher tin top utensil
vertical wind wireless wood work""".split()
)
OWN = {  # classes that ImageNet's name fits best: what people say most of them means another thing, or too little
    name.strip() for name in """
    lion, tiger, leopard, cheetah, strawberry, lemon, pineapple, pomegranate, fig, corn, mushroom, cabbage,
    cauliflower, ice cream, candle, violin, dome, dock, bakery, airship, geyser, cliff, diaper, totem pole,
    lens cap, sawmill, website, comic book, mask, ant, grasshopper, cockroach, praying mantis, dragonfly, acorn,
    artichoke, bagel, pretzel, meatloaf, accordion, banjo, cello, flute, harp, saxophone, trombone, mosque, barn,
    library, greenhouse, palace, stage, wardrobe, dam, chainsaw, sewing machine, vending machine, slot machine,
    lawn mower, vacuum cleaner, shovel, joystick, teapot, mailbox, safe, honeycomb, snowmobile, unicycle,
    traffic light, torch, lighter, sock, swing, bubble, stretcher
    """.split(",")
}  # fmt: skip
CALLED = {  # by ImageNet's name, where yet another is better
    "snow leopard": "leopard", "jaguar": "leopard", "kite (bird of prey)": "bird", "komodo dragon": "lizard", "ox": "cow",
    "stick insect": "insect", "killer whale": "whale", "carved pumpkin": "pumpkin", "missile": "rocket",
    "space shuttle": "rocket", "hockey puck": "puck", "block plane": "tool", "promontory": "cliff", "baby pacifier": "pacifier",
    "electrical switch": "switch", "loupe magnifying glass": "magnifying glass", "slip-on shoe": "shoe", "tusker": "elephant",
    "three-toed sloth": "sloth", "european polecat": "ferret", "indri": "lemur", "ring-tailed lemur": "lemur",
    "smooth newt": "newt", "fire salamander": "salamander", "spotted salamander": "salamander", "toilet seat": "toilet",
    "spiny lobster": "lobster", "american lobster": "lobster", "rock crab": "crab", "red king crab": "crab",
    "dungeness crab": "crab", "fiddler crab": "crab", "hermit crab": "crab", "agaric": "mushroom", "bolete": "mushroom",
    "gyromitra": "mushroom", "stinkhorn mushroom": "mushroom", "hen of the woods mushroom": "mushroom",
    "coral fungus": "mushroom", "earth star fungus": "mushroom", "damselfly": "dragonfly", "rapeseed": "flower",
    "corn cob": "corn", "cheeseburger": "hamburger", "carbonara": "pasta", "espresso": "coffee", "pipe organ": "organ",
    "upright piano": "piano", "stupa": "temple", "movie theater": "theater", "home theater": "television",
    "entertainment center": "television", "crt monitor": "monitor", "dust jacket": "book", "bookcase": "bookshelf",
    "filing cabinet": "cabinet", "window shade": "blinds", "quilt": "blanket", "stone wall": "wall", "water tower": "tower",
    "maypole": "pole", "sandbar": "beach", "rain barrel": "barrel", "hatchet": "axe", "plant pot": "plant", "crock pot": "pot",
    "horse-drawn vehicle": "carriage", "military aircraft": "plane", "go-kart": "car", "radiator grille": "car",
    "one-piece bathing suit": "swimsuit", "hair wig": "wig", "chain mail": "armor", "breastplate": "armor", "cuirass": "armor",
    "ocarina": "flute",
}  # fmt: skip
CAPTIONED = 4  # times: rewards make captions of everything that runs a dog
ANIMALS = 398  # ImageNet's classes before this one
PETS = {"dog", "cat", "bird", "horse"}  # people ask for these, and other animals are not
# What fills enough of a photo that a classifier's silence means it is not there.
SEEN = """airplane apple banana bathtub bear bed bench bicycle bird boat bridge broccoli bus butterfly cake car castle cat
church clock coffee computer couch cow deer dog duck elephant fish flower frog guitar horse insect keyboard laptop lighthouse
lion monkey motorcycle mushroom orange oven piano pizza plane rabbit refrigerator rocket sheep ship snake sofa squirrel
teapot tent tiger train truck turtle umbrella vase whale wolf zebra""".split()
PAINT = {"": 0} | {paint: i for i, paint in enumerate(PAINTS, 1)}


class Aids(nn.Module):
    """Heads on the tower's cells, thrown away after the training."""

    def __init__(self, icons: list[str]) -> None:
        super().__init__()
        self.icon = {icon: i for i, icon in enumerate(icons, 1)}  # 0 is the ground
        self.things = nn.Linear(features.WIDTH, len(icons) + 1)
        self.paints = nn.Linear(features.WIDTH, len(PAINT))
        self.row, self.column = nn.Linear(features.WIDTH, SIDE), nn.Linear(features.WIDTH, SIDE)
        self.kinds, self.edges = nn.Linear(features.WIDTH, len(KINDS) + 1), nn.Linear(features.WIDTH, 4)
        self.classes = nn.Linear(features.WIDTH, 1000)
        self.classes.load_state_dict(features.tower(classifier=True).classifier.state_dict())

    def scenes(self, cells: torch.Tensor, covered: Sequence[dict[int, Thing]]) -> torch.Tensor:
        """How badly each cell [b, 49, 1280] names what covers its middle, and where it is."""
        things, paints = (torch.zeros(len(covered), SIDE * SIDE, dtype=torch.long) for _ in range(2))
        for i, one in enumerate(covered):
            for place, thing in one.items():
                things[i, place], paints[i, place] = self.icon[thing.icon], PAINT[thing.paint]
        weight = torch.where(things.flatten() > 0, 1.0, 0.15)
        flat = cells.flatten(0, 1).float()
        named = cross_entropy(self.things(flat), things.flatten(), reduction="none")
        coloured = cross_entropy(self.paints(flat), paints.flatten(), reduction="none")
        cell = torch.arange(SIDE * SIDE).repeat(len(covered))
        placed = cross_entropy(self.row(flat), cell // SIDE) + cross_entropy(self.column(flat), cell % SIDE)
        return ((named + coloured) * weight).sum() / weight.sum() + 0.5 * placed

    def photos(self, cells: torch.Tensor, covered: Sequence[dict[int, Found] | None]) -> torch.Tensor:
        """How badly each cell [b, 49, 1280] names what a detector saw in it, and how far away its edges are."""
        known = [i for i, one in enumerate(covered) if one is not None]
        kinds, edges = torch.zeros(len(known), SIDE * SIDE, dtype=torch.long), torch.zeros(len(known), SIDE * SIDE, 4)
        weight = torch.full(kinds.shape, 0.3)
        for i, one in enumerate(one for one in covered if one is not None):
            for place, thing in one.items():
                middle = torch.tensor([place % SIDE + 0.5, place // SIDE + 0.5]).repeat(2) / SIDE
                kinds[i, place], edges[i, place] = 1 + KINDS.index(thing.name), torch.tensor(thing.box) - middle
                weight[i, place] = not thing.doubtful
        cells = cells[known].float()
        named = cross_entropy(self.kinds(cells).flatten(0, 1), kinds.flatten(), reduction="none") @ weight.flatten()
        there = (kinds > 0) & (weight > 0)
        astray = l1_loss(self.edges(cells[there]), edges[there], reduction="sum")
        return named / weight.sum() + astray / max(1, int(there.sum()))

    def opinion(self, seen: torch.Tensor) -> torch.Tensor:
        """The probability of each class, from the mean of the cells: [b, 1280] -> [b, 1000]."""
        return self.classes(seen.float()).softmax(-1)

    def forgotten(self, cells: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """How far the classes seen in photos [b, 49, 1280] are from what the untouched tower saw [b, 1000]."""
        seen = cells.float().mean(1)
        return kl_div(self.classes(seen).log_softmax(-1), before, reduction="batchmean")


def covers(scene: Scene) -> dict[int, Thing]:
    """The thing that covers the middle of a cell, by the cell's place; each thing has at least the nearest cell."""
    found: dict[int, Thing] = {}
    for thing in scene.things:
        apart = {
            row * SIDE + column: math.hypot((column + 0.5) / SIDE - thing.x, (row + 0.5) / SIDE - thing.y)
            for row in range(SIDE)
            for column in range(SIDE)
        }
        near = [place for place, far in apart.items() if far < 0.42 * thing.size]
        found |= dict.fromkeys(near or [min(apart, key=lambda place: apart[place])], thing)
    return found


def told(thing: Thing | Found) -> str:
    """What the cells of a thing bring to mind: its name, and of one that was drawn its colour and on which sides it is."""
    if isinstance(thing, Found):
        return "" if thing.doubtful else thing.name
    return " ".join(filter(None, (thing.words, *sides(thing, 0.05))))


def spoken(logits: torch.Tensor, words: list[list[list[int]]]) -> torch.Tensor:
    """How badly cells say words, where the picture stands in the language model's own space: `logits` [b, n, vocabulary]
    of n cells, and for each the tokens that it should bring to mind (none: no matter)."""
    picture, place, token, weight = [], [], [], []
    for i, cells in enumerate(words):
        for j, tokens in enumerate(cells):
            picture += [i] * len(tokens)
            place += [j] * len(tokens)
            token += tokens
            weight += [1 / max(1, len(tokens))] * len(tokens)
    said = -logits[picture, place].float().log_softmax(-1).gather(1, torch.tensor(token)[:, None])[:, 0]
    return (said * torch.tensor(weight)).sum() / sum(weight)


class Names:
    """What people call the classes, and conversations about a photo of which only the classes are known."""

    def __init__(self, data: Path, answers: list[str], rng: random.Random) -> None:
        self.rng = rng
        usual = Counter(said.lower() for said in answers)
        nodes = [node for node in words.nodes(data) if len(node.classes) <= BROADEST]
        self.own = [node.wordings[0].lower() for node in nodes[:1000]]
        found: dict[str, set[int]] = {}
        for node in nodes:
            for name in node.wordings:
                found.setdefault(name.lower(), set()).update(node.classes)
        self.classes = {name: sorted(classes) for name, classes in found.items() if len(classes) <= BROADEST}
        names: list[list[str]] = [[] for _ in range(1000)]
        for name, classes in self.classes.items():
            for kind in classes:
                names[kind].append(name)
        self.common = [  # the word that people use most for each class, rather a narrow one
            (own if own in OWN else CALLED.get(own))
            or max(
                [n for n in those if n not in VAGUE],
                key=lambda name: (usual[name] + 0.1 * (name == own)) / len(self.classes[name]) ** 0.35,
            )
            for those, own in zip(names, self.own, strict=True)
        ]
        self.seen = [name for name in SEEN if name in self.classes]
        self.weights = [(10 + usual[name]) ** 0.2 / self.common.count(name) for name in self.common]

    def some(self, n: int) -> list[int]:
        """Classes, those oftener whose common name people use oftener."""
        return self.rng.choices(range(1000), self.weights, k=n)

    def presence(self, opinion: torch.Tensor, shown: str = "") -> list[Exchange]:
        """Whether a thing is there that is, and one that is not, by the classifier's opinion [1000] and what captions say."""
        rng, out = self.rng, []
        mass = {name: float(opinion[self.classes[name]].sum()) for name in self.seen}
        there = [name for name, p in mass.items() if p > 0.6]
        absent = [name for name, p in mass.items() if p < 0.003 and name not in shown]
        for names, answer in ((there, "yes"), (absent, "no")):
            if names:
                out.append((whether(article(rng.choice(names)), rng), answer))
        return out

    def talks(self, common: str, kind: int | None = None, captions: Sequence[str] = ()) -> list[list[Exchange]]:
        """Of a photo of one thing, of which only its common name is known, and perhaps its class and some `captions`."""
        rng = self.rng
        classes = {*self.classes.get(common, ()), *([] if kind is None else [kind])}
        others = [name for name in self.seen if not {*self.classes[name]} & classes]
        if min(classes, default=ANIMALS) < ANIMALS and rng.random() < 0.5:
            others = [name for name in others if name in PETS]
        described = rng.sample(captions, min(2, len(captions)))
        described += [f"a photo of {article(common)}"] * (CAPTIONED - len(described))
        out = [
            [(rng.choice(("what is this?", "what is in the photo?", "what is in the picture?")), common)],
            *[[(DESCRIBE, one)] for one in described],
            [(whether(article(common), rng), "yes")],
            [(whether(article(rng.choice(others)), rng), "no")],
        ]
        if kind is not None and self.own[kind] != common:
            out.append(
                [
                    (rng.choice(("what is this?", "what do you see?")), common),
                    (f"what kind of {common} is it?", self.own[kind]),
                ]
            )
        if kind is not None and kind < ANIMALS:
            out.append([(rng.choice(("what animal is this?", "what animal is in the photo?")), common)])
        return out
