"""Sticker scenes: pictures composed of openly licensed emoji art, with exact captions, questions and answers.

The art is Microsoft's Fluent Emoji (flat), MIT licence, from the npm package `@iconify-json/fluent-emoji-flat`."""

import colorsys
import functools
import io
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from pipelines.chinese import article

OBJECTS_FILE = Path(__file__).with_name("sticker_objects.txt")
ART_SIZE = 256
SIZE = 256  # pixels a side of what the brush draws

# Hue (0 to 1), saturation and brightness factors of the colours that objects are painted in.
PAINTS = {
    "red": (0.995, 1.0, 1.0),
    "orange": (0.075, 1.0, 1.05),
    "yellow": (0.15, 1.0, 1.15),
    "green": (0.34, 0.9, 0.85),
    "blue": (0.60, 1.0, 1.0),
    "purple": (0.77, 0.8, 0.9),
    "pink": (0.92, 0.5, 1.15),
    "brown": (0.07, 0.75, 0.6),
    "gray": (0.0, 0.0, 0.75),
    "black": (0.0, 0.0, 0.22),
}
GROUNDS = {
    "white": (255, 255, 255),
    "light blue": (190, 222, 246),
    "light green": (203, 235, 200),
    "light yellow": (252, 243, 196),
    "pink": (250, 214, 224),
    "light gray": (222, 222, 226),
}
# Made things that come in any colour: a caption without one leaves it open.
ANY_COLOUR = set(
    "automobile balloon umbrella t-shirt dress backpack closed-book wrapped-gift tulip bus delivery-truck motorcycle bicycle "
    "sailboat helicopter chair bed guitar drum pencil running-shoe top-hat key cupcake butterfly fish bird snake house "
    "mobile-phone bell gem-stone glasses jeans envelope camera".split()
)
DULL = ("brown", "gray", "black")  # colours that nobody expects unasked
OWN = 0.15  # share of the painted things that are called by their own colour
NEAR = 0.35  # share of the singles that are called by a word near to the thing's name
TILT, SMALL, STRETCH = (8, 16), (0.55, 0.65), (1.25, 1.45)  # degrees; share of the picture; how many times as wide
WAYS = {  # in which a thing may stand alone, and what it is called then
    "tilted": ("tilted",),  # to the left
    "slanted": ("slanted",),  # to the right
    "small": ("small", "little", "tiny"),
    "wide": ("wide", "fat"),
    "tall": ("tall", "thin"),
}
NUMBERS = ("no", "one", "two", "three", "four", "five")
PLACES = {"to the left of": (-1, 0), "to the right of": (1, 0), "above": (0, -1), "below": (0, 1)}
# Other words for a place; what is named first without one stands to the left.
ALSO = {
    "to the left of": ("left of", "on the left of", "and", "next to", "beside"),
    "to the right of": ("right of", "on the right of"),
    "above": ("over", "on top of"),
    "below": ("under", "beneath", "underneath"),
}


@dataclass(frozen=True)
class Thing:
    """One object of a scene: `name` as captions say it, `paint` its colour word or "", its centre and size (0 to 1);
    `unsaid`: a colour that no caption names; `tilt`: degrees, against the clock; `stretch`: how many times as wide as it
    is, to its height; `way`: a word for the last three, if they are unusual."""

    icon: str
    name: str
    paint: str = ""
    x: float = 0.5
    y: float = 0.5
    size: float = 0.85
    unsaid: str = ""
    tilt: float = 0.0
    stretch: float = 1.0
    way: str = ""

    @property
    def words(self) -> str:
        return " ".join(word for word in (self.way, self.paint, self.name) if word)


@dataclass(frozen=True)
class Scene:
    """Things on a ground; `relation` is the place of the first thing to the second, where there are two kinds."""

    things: tuple[Thing, ...]
    ground: str = "white"
    relation: str = ""


class Art:
    """The icons that `sticker_objects.txt` names, rendered once; `names[icon]` are its names, `near[icon]` words near
    to them, `common` the commonest ones, marked with a star. With `common`: only these."""

    def __init__(self, package: Path, common: bool = False) -> None:
        data = json.loads((package / "icons.json").read_text("utf-8"))
        self._bodies = data["icons"]
        self._aliases = data.get("aliases", {})
        self._side = data.get("width", 16)
        self.names: dict[str, list[str]] = {}
        self.near: dict[str, list[str]] = {}
        self.common: list[str] = []
        for line in OBJECTS_FILE.read_text("utf-8").splitlines():
            if line.startswith("*" if common else ("*", *"abcdefghijklmnopqrstuvwxyz0123456789")):
                icon, names = line.removeprefix("* ").split(":")
                names, _, near = names.partition("|")
                self.names[icon] = [name.strip() for name in names.split(",")]
                self.near[icon] = [word.strip() for word in near.split(",") if word.strip()]
                self.common += [icon] * line.startswith("*")

    @functools.lru_cache(maxsize=16384)  # noqa: B019 - one Art lives as long as the training does
    def picture(self, icon: str, paint: str = "") -> PIL.Image.Image:
        """RGBA picture of an icon, `ART_SIZE` pixels square, painted in a colour word of `PAINTS`."""
        if paint:
            return painted(self.picture(icon), paint)
        import resvg_py

        body = self._bodies[icon if icon in self._bodies else self._aliases[icon]["parent"]]["body"]
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self._side} {self._side}">{body}</svg>'
        png = resvg_py.svg_to_bytes(svg_string=svg, width=ART_SIZE, height=ART_SIZE)
        picture = PIL.Image.open(io.BytesIO(bytes(png))).convert("RGBA")
        return picture.crop(picture.getbbox())

    @functools.cache  # noqa: B019
    def own_paint(self, icon: str) -> str:
        """The word of `PAINTS` for an icon as it is, "" where none fits."""
        pixels = np.asarray(self.picture(icon))
        return nearest_paint(pixels[pixels[..., 3] > 127][:, :3], within=115)

    @functools.cache  # noqa: B019
    def one_colour(self, icon: str) -> str:
        """`own_paint` of an icon that has that colour nearly all over, "" of others."""
        pixels, paint = np.asarray(self.picture(icon)), self.own_paint(icon)
        some = pixels[pixels[..., 3] > 127][::97, :3]
        return paint if np.mean([nearest_paint(one[None], within=115) == paint for one in some]) > 0.65 else ""

    def draw(self, scene: Scene, size: int) -> NDArray[np.uint8]:
        """The scene as RGB, [size, size, 3]."""
        canvas = PIL.Image.new("RGB", (size, size), GROUNDS[scene.ground])
        for thing in scene.things:
            art = self.picture(thing.icon, thing.paint or thing.unsaid)
            if thing.tilt:
                art = art.rotate(thing.tilt, PIL.Image.Resampling.BILINEAR, expand=True)
                art = art.crop(art.getbbox())
            width, height = art.width * thing.stretch, art.height
            scale = thing.size * size / max(width, height)
            art = art.resize((max(1, round(width * scale)), max(1, round(height * scale))), 2, reducing_gap=2)
            corner = round(thing.x * size - art.width / 2), round(thing.y * size - art.height / 2)
            canvas.paste(art, corner, art)
        return np.asarray(canvas)


def painted(art: PIL.Image.Image, paint: str) -> PIL.Image.Image:
    """The same shapes with every part in the hue of `paint`; highlights stay light and shades stay dark."""
    hue, saturation, brightness = PAINTS[paint]
    pixels = np.asarray(art).astype(np.float32) / 255
    rgb, alpha = pixels[..., :3], pixels[..., 3:]
    light = rgb.max(-1) * 0.5 + rgb.mean(-1) * 0.5  # [height, width]
    middle = float(np.median(light[alpha[..., 0] > 0.5]))
    value = np.clip(0.82 + 1.2 * (light - middle), 0.15, 1.0 if brightness > 0.5 else 1.5) * brightness
    base = np.array(colorsys.hsv_to_rgb(hue, saturation, 1.0), np.float32)
    painted = np.clip(value[..., None] * base, 0, 1)
    glare = np.clip((light - middle - 0.3) * 1.5, 0, 0.6)[..., None] if brightness > 0.5 else 0.0
    painted = painted * (1 - glare) + glare
    return PIL.Image.fromarray((np.concatenate([painted, alpha], -1) * 255).astype(np.uint8))


def nearest_paint(pixels: NDArray[np.uint8], within: float = 765) -> str:
    """The word of `PAINTS` of which a light or dark shade is nearest to the middle colour of pixels [n, 3], "" where none
    is `within` that sum of the three differences."""
    middle = np.median(pixels.astype(np.float32), axis=0)
    apart = {paint: float(np.abs(middle - _shades(paint)).sum(-1).min()) for paint in PAINTS}
    paint = min(PAINTS, key=lambda one: apart[one])
    return paint if apart[paint] <= within else ""


@functools.cache
def _shades(paint: str) -> NDArray[np.float32]:  # [shades, 3]
    greys = np.arange(104, 185, 4, dtype=np.uint8)[:, None, None].repeat(3, -1)  # [shades, 1, 3]
    solid = PIL.Image.fromarray(greys).convert("RGBA")
    return np.asarray(painted(solid, paint))[:, 0, :3].astype(np.float32)


def held_out(icon: str, paint: str) -> bool:
    """Whether this colour-object pair is kept out of training (one in ten), to report on."""
    return bool(paint) and sum(map(ord, icon)) % len(PAINTS) == list(PAINTS).index(paint)


def plural(name: str) -> str:
    irregular = {
        "mouse": "mice",
        "fish": "fish",
        "sheep": "sheep",
        "wolf": "wolves",
        "goose": "geese",
        "knife": "knives",
        "tomato": "tomatoes",
        "potato": "potatoes",
        "volcano": "volcanoes",
    }
    head, _, last = name.rpartition(" ")
    if " of " in name:
        first, rest = name.split(" of ", 1)
        return f"{plural(first)} of {rest}"
    if last in irregular:
        last = irregular[last]
    elif last.endswith("man"):
        last = last[:-3] + "men"
    elif last.endswith(("s", "x", "ch", "sh")):
        last = last if last.endswith("s") and not last.endswith(("ss", "us")) else last + "es"  # "glasses", but "buses"
    elif last.endswith("y") and last[-2] not in "aeiou":
        last = last[:-1] + "ies"
    else:
        last += "s"
    return f"{head} {last}".strip()


class Piece(NamedTuple):
    """A part of a caption; where its thing stands, right and down, if there are two."""

    text: str
    side: tuple[int, int] = (0, 0)


def placed(one: str, place: str, other: str, rng: random.Random) -> list[Piece]:
    """One of many wordings of where `one` stands, seen from the `other`."""
    right, down = PLACES[place]
    said = place if rng.random() < 0.6 else rng.choice(ALSO[place])
    return [Piece(one, (right, down)), Piece(f" {said} "), Piece(other, (-right, -down))]


def told(scene: Scene, rng: random.Random) -> list[Piece]:
    """One of many wordings of what the scene shows, in parts."""
    if scene.relation:
        one, other = (article(thing.words) for thing in scene.things)
        return placed(one, scene.relation, other, rng)
    return [Piece(_alone(scene, rng))]


def caption(scene: Scene, rng: random.Random) -> str:
    """One of many wordings of what the scene shows."""
    return "".join(piece.text for piece in told(scene, rng))


def _alone(scene: Scene, rng: random.Random) -> str:
    """A scene of one kind of thing."""
    first, count = scene.things[0], len(scene.things)
    if count > 1:
        return f"{NUMBERS[count]} {plural(first.words)}"
    form = rng.choice(["{a}", "{a}", "{a}", "{b}", "{b}", "a sticker of {a}", "a picture of {a}", "one {b}", "the {b}"])
    text = form.format(a=article(first.words), b=first.words)
    if scene.ground != "white" and rng.random() < 0.7:
        text += f" on a {scene.ground} background"
    return text


def questions(scene: Scene, art: Art, rng: random.Random) -> list[tuple[str, str]]:
    """(question, answer) pairs that are exact for the scene."""
    first, last, count = scene.things[0], scene.things[-1], len(scene.things)
    kinds = {thing.icon for thing in scene.things}
    absent = rng.choice([icon for icon in art.names if icon not in kinds])
    found = [
        (f"is there {article(first.name)} in the picture?", "yes"),
        (f"is there {article(art.names[absent][0])} in the picture?", "no"),
    ]
    if first.paint:
        found.append((f"what color is the {first.name}?", first.paint))
    if scene.relation:
        found.append((f"what is {scene.relation} the {last.name}?", first.name))
    else:
        number = NUMBERS[count]
        found.append((f"how many {plural(first.name)} are there?", number))
        found.append(
            (rng.choice(["what is this?", "what is in the picture?"]), plural(first.name) if count > 1 else first.name)
        )
    return found


class Sampler:
    """Draws random scenes; `mix` gives the shares of single, painted single, counted and two-kind scenes. `varied` (0 to
    1): the more, the oftener things come in colours that captions don't say. `ways`: the share of what stands alone
    that does it in an unusual way, which captions say. `common`: the share of things that are of the commonest ones.
    `more`: first names of things that come six times as often."""

    def __init__(
        self,
        art: Art,
        mix: Sequence[float] = (0.6, 0.3, 0.05, 0.05),
        seed: int = 0,
        varied: float = 0,
        common: float = 0,
        more: Sequence[str] = (),
        ways: float = 0,
    ) -> None:
        self.art, self.mix, self.rng, self.varied, self.share = art, mix, random.Random(seed), varied, common
        self.ways = ways
        self.icons = list(art.names)
        often = [icon for icon in self.icons if art.names[icon][0] in more]
        if missing := set(more) - {art.names[icon][0] for icon in often}:
            raise ValueError(f"No art is called {', '.join(sorted(missing))}.")
        self.common = [*art.common, *often * 5]

    def thing(self, painted: bool) -> Thing:
        icon = self.rng.choice(self.common if self.rng.random() < self.share else self.icons)
        names = self.art.names[icon]
        name = names[0] if self.rng.random() < 0.6 else self.rng.choice(names)
        # A painted thing needs a name without a colour of its own ("red apple" -> "apple").
        plain = [one for one in names if not set(one.split()) & {*PAINTS, "white", "gold"}]
        own = self.art.one_colour(icon)
        paint = self.rng.choice([paint for paint in PAINTS if not held_out(icon, paint)])
        if plain and painted:
            name = self.rng.choice(plain)
            if own and (paint == own or self.rng.random() < OWN):
                return Thing(icon, f"{own} {name}")  # a red apple has its green leaf
            return Thing(icon, name, paint)
        if plain and icon in ANY_COLOUR and paint not in (own, *DULL) and self.rng.random() < self.varied / 2:
            return Thing(icon, self.rng.choice(plain), unsaid=paint)
        return Thing(icon, name)

    def turned(self, thing: Thing) -> Thing:
        """The thing in one of the unusual ways, and called so."""
        rng, way = self.rng, self.rng.choice(list(WAYS))
        thing = replace(thing, way=rng.choice(WAYS[way]))
        if way == "small":
            x, y = (rng.uniform(0.4, 0.6) for _ in range(2))
            return replace(thing, x=x, y=y, size=rng.uniform(*SMALL))
        if way in ("wide", "tall"):
            return replace(thing, stretch=rng.uniform(*STRETCH) ** (1 if way == "wide" else -1))
        return replace(thing, tilt=rng.uniform(*TILT) * (1 if way == "tilted" else -1))

    def scene(self) -> Scene:
        rng = self.rng
        kind = rng.choices(("single", "painted", "counted", "pair"), self.mix)[0]
        ground = "white" if rng.random() < 0.8 else rng.choice(list(GROUNDS))
        thing = self.thing(painted=kind == "painted" or (kind != "single" and rng.random() < 0.3))
        if kind in ("single", "painted"):
            coloured = thing.paint or thing.unsaid
            near = [
                word for word in self.art.near[thing.icon] if not coloured or not set(word.split()) & {*PAINTS, "gold"}
            ]
            if near and rng.random() < NEAR:
                thing = replace(thing, name=rng.choice(near))
            x, y = (rng.uniform(0.47, 0.53) for _ in range(2))
            thing = replace(thing, x=x, y=y, size=rng.uniform(0.78, 0.92))
            return Scene((self.turned(thing) if rng.random() < self.ways else thing,), ground)
        if kind == "counted":
            count = rng.randint(2, 4)
            spots = {2: [(0.27, 0.5), (0.73, 0.5)], 3: [(0.27, 0.28), (0.73, 0.28), (0.5, 0.73)]}.get(
                count, [(0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73)]
            )
            jitter = [(x + rng.uniform(-0.02, 0.02), y + rng.uniform(-0.02, 0.02)) for x, y in spots]
            return Scene(tuple(replace(thing, x=x, y=y, size=0.42) for x, y in jitter), ground)
        other = self.thing(painted=rng.random() < 0.3)
        while other.icon == thing.icon:
            other = self.thing(painted=False)
        relation, (dx, dy) = rng.choice(list(PLACES.items()))
        first = replace(thing, x=0.5 + dx * 0.24, y=0.5 + dy * 0.24, size=0.44)
        second = replace(other, x=0.5 - dx * 0.24, y=0.5 - dy * 0.24, size=0.44)
        return Scene((first, second), ground, relation)
