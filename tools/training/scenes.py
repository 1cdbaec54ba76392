"""Sticker scenes to look at: one to five things anywhere on a coloured or textured ground, and what can be said of them.

Three arts (Fluent Emoji flat, Noto, Twemoji) show the same objects. Kept out of training, to report on: whole objects,
colours of objects (`stickers.held_out`) and pairs of objects."""

import itertools
import math
import random
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tools.training import packages
from tools.training.stickers import PAINTS, Art, Thing, article, held_out, plural
from tools.training.synthetic import whether

ARTS = ("@iconify-json/fluent-emoji-flat", "@iconify-json/noto", "@iconify-json/twemoji")
GROUNDS = {
    "white": (255, 255, 255), "gray": (150, 150, 155), "black": (25, 25, 28), "red": (214, 60, 60), "orange": (245, 160, 70),
    "yellow": (250, 226, 105), "green": (95, 180, 100), "blue": (80, 130, 220), "purple": (150, 100, 200),
    "pink": (246, 170, 195), "brown": (140, 98, 66), "light blue": (190, 222, 246), "light green": (203, 235, 200),
}  # fmt: skip
SIDES = {"to the left of": "to the right of", "above": "below"}
SIDES |= {other: side for side, other in SIDES.items()}
DESCRIBE = "Describe the photo."

Exchange = tuple[str, str]


class Scene(NamedTuple):
    things: list[Thing]
    ground: str
    texture: str
    art: int


class Scenes:
    """Draws random scenes. `part`: "train", or what is shown that training never shows: "objects", "colours", "pairs"."""

    def __init__(self, part: str = "train", seed: int = 0) -> None:
        self.part, self.rng = part, random.Random(seed)
        self.arts = [Art(packages.npm(name)) for name in ARTS]
        self.names = self.arts[0].names
        icons = list(self.names)
        self.held = set(icons[7::28])  # 12 objects
        self.icons = [icon for icon in icons if (icon in self.held) == (part == "objects")]
        common = Art(packages.npm(ARTS[0]), common=True).names
        self.common = [icon for icon in self.icons if icon in common]

    def pair_held(self, a: str, b: str) -> bool:
        return (sum(map(ord, a)) + sum(map(ord, b))) % 10 == 3

    def thing(self, alone: bool = False) -> Thing:
        """`alone`: among no others, so that "what is this?" is asked, which has one answer: its usual name."""
        rng = self.rng
        icon = rng.choice(self.common if self.common and rng.random() < 0.7 else self.icons)
        plain = [name for name in self.names[icon] if not set(name.split()) & {*PAINTS, "white", "gold"}]
        if plain and (self.part == "colours" or rng.random() < 0.5):
            paints = [paint for paint in PAINTS if held_out(icon, paint) == (self.part == "colours")]
            if paints:
                return Thing(icon, plain[0] if alone or rng.random() < 0.7 else rng.choice(plain), rng.choice(paints))
        return Thing(icon, plain[0] if plain else self.names[icon][0])

    def kinds(self, n: int) -> list[Thing]:
        """`n` different things."""
        while True:
            drawn = [self.thing(alone=n == 1) for _ in range(n)]
            icons, names = {thing.icon for thing in drawn}, {thing.name for thing in drawn}
            held = any(self.pair_held(a.icon, b.icon) for i, a in enumerate(drawn) for b in drawn[:i])
            if len(icons) == len(names) == n and (
                n == 1 or held == (self.part == "pairs") or self.part in ("objects", "colours")
            ):
                return drawn

    def scene(self) -> Scene:
        rng = self.rng
        count = rng.choice((1, 1, 2, 2, 3, 4, 5)) if self.part != "pairs" else 2
        alike = count > 1 and self.part != "pairs" and rng.random() < 0.5
        drawn = self.kinds(1) * count if alike else self.kinds(min(count, 3))
        while len(drawn) < count:  # four or five things are of three kinds at most
            drawn.append(rng.choice(drawn))
        size = {1: (0.35, 0.9), 2: (0.3, 0.46), 3: (0.27, 0.4), 4: (0.25, 0.36), 5: (0.22, 0.32)}[count]
        ground, texture = rng.choice(list(GROUNDS)), rng.choice(("plain", "plain", "noise", "gradient", "stripes"))
        if rng.random() < 0.35 or ground in {thing.paint for thing in drawn}:
            ground, texture = "white", "plain"
        while True:
            placed: list[Thing] = []
            for thing in drawn:
                side = rng.uniform(*size)
                for _ in range(30):
                    x, y = rng.uniform(side / 2, 1 - side / 2), rng.uniform(side / 2, 1 - side / 2)
                    if all(math.hypot(x - o.x, y - o.y) > (side + o.size) * 0.5 for o in placed):
                        placed.append(replace(thing, x=x, y=y, size=side))
                        break
            if len(placed) == count:
                return Scene(placed, ground, texture, rng.randrange(len(self.arts)))

    def draw(self, scene: Scene, side: int = 224) -> Image.Image:
        canvas = Image.fromarray(self.ground(scene, side))
        for thing in scene.things:
            art = self.arts[scene.art].picture(thing.icon, thing.paint)
            scale = thing.size * side / max(art.size)
            art = art.resize((max(1, round(art.width * scale)), max(1, round(art.height * scale))), 2, reducing_gap=2)
            canvas.paste(art, (round(thing.x * side - art.width / 2), round(thing.y * side - art.height / 2)), art)
        return canvas

    def ground(self, scene: Scene, side: int) -> NDArray[np.uint8]:  # [side, side, 3]
        random_numbers = np.random.default_rng(self.rng.randrange(2**32))
        colour = np.array(GROUNDS[scene.ground], np.float64)
        if scene.ground != "white":
            colour = colour + random_numbers.normal(0, 8, 3)
        change = np.zeros((side, side))
        if scene.texture == "noise":
            grain = random_numbers.normal(128, 60, (side, side)).clip(0, 255).astype(np.uint8)
            change = (
                np.asarray(Image.fromarray(grain).filter(ImageFilter.GaussianBlur(self.rng.choice((1, 3))))) - 128.0
            )
        elif scene.texture == "gradient":
            ramp = np.linspace(-25, 25, side)
            change = (
                ramp[:, None] + np.zeros((1, side)) if self.rng.random() < 0.5 else ramp[None] + np.zeros((side, 1))
            )
        elif scene.texture == "stripes":
            width = self.rng.randint(8, 30)
            change = np.where(np.arange(side) // width % 2, 12.0, -12.0)[None] + np.zeros((side, 1))
        return (colour + change[..., None]).clip(0, 255).astype(np.uint8)

    # ---- what can be said -------------------------------------------------------------------------------------------

    def groups(self, scene: Scene) -> list[tuple[Thing, int]]:
        """The kinds of things with their numbers, as they come."""
        found: dict[tuple[str, str], tuple[Thing, int]] = {}
        for thing in scene.things:
            first, n = found.get((thing.icon, thing.paint), (thing, 0))
            found[thing.icon, thing.paint] = first, n + 1
        return list(found.values())

    def caption(self, scene: Scene) -> str:
        """Starts in words of its own: else a photo of a cat, which looks like a cat face, goes on as a list of stickers."""
        rng, groups = self.rng, self.groups(scene)
        if len(scene.things) > 2:
            groups.sort(key=lambda group: group[0].x)  # an order that can be seen
        said = [article(t.words) if n == 1 else f"{WORDS[n]} {plural(t.words)}" for t, n in groups]
        place = relation(*scene.things) if len(scene.things) == len(groups) == 2 else ""
        if place and rng.random() < 0.8:
            text = f"{said[0]} {place} {said[1]}"
        else:
            text = said[0] if len(said) == 1 else ", ".join(said[:-1]) + " and " + said[-1]
        if rng.random() < 0.5:
            text += f" on {article(scene.ground)} background"
        return f"a drawing of {text}"

    def exchanges(self, scene: Scene) -> dict[str, list[Exchange]]:
        """(question, answer) pairs that are exact for the scene, by kind."""
        rng, groups = self.rng, self.groups(scene)
        shown = {name for thing, _ in groups for name in self.names[thing.icon]}
        absent = [self.names[i][0] for i in self.icons if not shown & set(self.names[i])]
        nothing = rng.choice(absent)
        out: dict[str, list[Exchange]] = {
            "presence": [(whether(article(rng.choice(absent)), rng), "no") for _ in groups],
            "count": [(rng.choice(("how many things are there?", "how many objects are there?")), str(len(scene.things)))],
            "colour": [(rng.choice(("what color is the background?", "what colour is the background?")), scene.ground)],
            "place": [], "what": [],
        }  # fmt: skip
        for thing, n in groups:
            few = plural(thing.name)
            out["presence"].append((whether(article(thing.name) if n == 1 else few, rng, n > 1), "yes"))
            out["count"].append(
                (rng.choice((f"how many {few} are there?", f"how many {few} are in the picture?")), str(n))
            )
            if thing.paint and sum(t.icon == thing.icon for t, _ in groups) == 1:
                asked = f"is the {thing.name}" if n == 1 else f"are the {few}"
                out["colour"].append((f"{rng.choice(('what color', 'what colour'))} {asked}?", thing.paint))
        if rng.random() < 0.3:
            out["count"].append((f"how many {plural(nothing)} are there?", "0"))
        if len(groups) == 1:
            name = groups[0][0].name if groups[0][1] == 1 else plural(groups[0][0].name)
            out["what"] = [
                (rng.choice(("what is this?", "what is in the picture?", "what is shown?", "what do you see?")), name)
            ]
        singles = [thing for thing, n in groups if n == 1]
        if len(singles) >= 2:
            a, b = rng.sample(singles, 2)
            out["place"] = self.places(a, b, alone=len(scene.things) == 2)
        return out

    def places(self, a: Thing, b: Thing, alone: bool) -> list[Exchange]:
        """Where `a` is, seen from `b`, where that is a clear matter; `alone`: there is nothing else."""
        rng, place = self.rng, relation(a, b)
        if not place:
            return []
        said = {side: rng.choice((side, side.removeprefix("to the "))) for side in SIDES}  # "left of" as well
        which = rng.choice(("where is the {},", "is the {}")).format(a.name)
        return [
            (f"is the {a.name} {said[place]} the {b.name}?", "yes"),
            (f"is the {a.name} {said[SIDES[place]]} the {b.name}?", "no"),
            (f"{which} {either(place)} the {b.name}?", place.replace("to the ", "").replace(" of", "")),
            *[(f"what is {said[place]} the {b.name}?", a.name)] * alone,
        ]

    def counts(self, scene: Scene) -> list[Exchange]:
        """How many there are, of all and of each kind, where there are several things."""
        return self.exchanges(scene)["count"] if len(scene.things) > 1 else []

    def what(self, scene: Scene) -> list[Exchange]:
        """What it is, of scenes of one kind of thing."""
        return self.exchanges(scene)["what"]

    def where(self, scene: Scene) -> list[Exchange]:
        """In which part of the picture each thing is, and where it is seen from each other, in any order."""
        singles, out = [thing for thing, n in self.groups(scene) if n == 1], []
        for thing in singles:
            be = self.rng.choice(("where is the {},", "is the {}")).format(thing.name)
            across, down = sides(thing, 0.12)
            out += [(f"{be} on the left or on the right?", across)] * bool(across)
            out += [(f"{be} at the top or at the bottom?", down)] * bool(down)
        for a, b in itertools.permutations(singles, 2):
            out += self.places(a, b, alone=len(scene.things) == 2)
        return self.rng.sample(out, len(out))

    def talks(self, scene: Scene) -> list[list[Exchange]]:
        """Conversations about the scene: a caption, single questions, and follow-ups that need what came before."""
        rng, groups, pairs = self.rng, self.groups(scene), self.exchanges(scene)
        out: list[list[Exchange]] = [[(DESCRIBE, self.caption(scene))], [(DESCRIBE, self.caption(scene))]]
        single = [pair for kind in pairs.values() for pair in kind]
        single += self.where(scene)[:4]
        rng.shuffle(single)
        for thing, n in groups[:2]:
            it, are = ("it", "is") if n == 1 else ("they", "are")
            start = (whether(article(thing.name) if n == 1 else plural(thing.name), rng, n > 1), "yes")
            nothing = self.names[rng.choice(self.icons)][0]
            if all(nothing not in self.names[t.icon] for t, _ in groups):
                out.append([(whether(article(nothing) if n == 1 else plural(nothing), rng, n > 1), "no")])
            if len(groups) == 1 and rng.random() < 0.5:
                start = ("what is this?", thing.name if n == 1 else plural(thing.name))
            follow = [("how many are there?", str(n))]
            if thing.paint:
                follow.append((f"what color {are} {it}?", thing.paint))
            rng.shuffle(follow)
            out.append([start, *follow])
        while single:
            n = 2 if rng.random() < 0.25 else 1
            out.append(single[:n])
            single = single[n:]
        return out


WORDS = ("no", "one", "two", "three", "four", "five")


def sides(thing: Thing, clear: float) -> tuple[str, str]:
    """On which sides of the picture a thing is, "" where it is no more than `clear` (0 to 0.5) from the middle."""
    across, down = thing.x - 0.5, thing.y - 0.5
    return (
        "" if abs(across) <= clear else "left" if across < 0 else "right",
        "" if abs(down) <= clear else "top" if down < 0 else "bottom",
    )


def relation(a: Thing, b: Thing) -> str:
    """Where `a` is, seen from `b`; "" where that is no clear matter."""
    dx, dy = a.x - b.x, a.y - b.y
    if abs(dx) > 1.6 * abs(dy) and abs(dx) > 0.2:
        return "to the left of" if dx < 0 else "to the right of"
    if abs(dy) > 1.6 * abs(dx) and abs(dy) > 0.2:
        return "above" if dy < 0 else "below"
    return ""


def either(place: str) -> str:
    return "left or right of" if place in ("to the left of", "to the right of") else "above or below"
