"""Teaches the image head of the bundled CLIP what people call everyday things that ImageNet has no name for, and people.

It learns from what a detector finds in photos that people described (`things`, `portraits`), as the tower sees it at the
size in use, and from stickers of one thing, whose names `name_things` has moved. What the head gives for all other photos
and for features made up for ImageNet's names stays nearly what it was; the tower and the texts stay as they are."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import PIL.Image
import torch
from torch import nn
from torch.nn.functional import cross_entropy, dropout, normalize

from tools.training import features, portraits, things
from tools.training.features import BATCH, FOLDER
from tools.training.scenes import Scenes
from tools.training.train_clip import Unreal, arguments, export, labels, opened, reader

STEPS, RATE, DROPPED, HEAT = 600, 3e-4, 0.2, 30
STICKERS, HELD = 3000, 300
# Weights of the losses of people's names, stickers', those with colours, and of change, against that of things' names.
PEOPLE, DRAWN, HUES, KEPT = 0.4, 0.15, 0.1, 60
EVEN = 0.6  # 0: each cut is as likely, 1: each name
BESIDES = (  # names that no cut has, which cuts shall not be called either
    "floor,wall,window,door,lamp,mirror,curtain,shelf,desk,tree,flower,fruit,shoe,hat,computer,camera,guitar,lion,tiger,fish,"
    "snake,house,bridge,road,mountain,cloud,knife,spoon,fork,plate,bread,orange,helmet,jacket,fence,rock,ladder,toy"
).split(",")
Named = tuple[torch.Tensor, list[str]]  # features [n, 1280], and what each shows


class Seen:
    """What the tower of a CLIP sees at its own size; what is kept on the disk is not drawn again."""

    def __init__(self, tower: nn.Module, prepare: Callable[[PIL.Image.Image], torch.Tensor]) -> None:
        self.tower, self.prepare = tower.to(memory_format=torch.channels_last), prepare

    @torch.inference_mode()
    def __call__(self, name: str, shown: Iterator[tuple[str, PIL.Image.Image]]) -> Named:
        file = FOLDER / f"ground-{name}.pt"
        if not file.exists():
            said, parts = list[str](), list[torch.Tensor]()
            while batch := [*itertools.islice(shown, BATCH)]:
                said += [one for one, _ in batch]
                pixels = torch.stack([self.prepare(picture.convert("RGB")) for _, picture in batch])
                parts.append(self.tower.eval()(pixels.contiguous(memory_format=torch.channels_last)))
            torch.save((torch.cat(parts), said), file)
        return torch.load(file)


def photos(data: Path) -> Iterator[tuple[str, PIL.Image.Image]]:
    """Every other photo of Flickr8k and of DAQUAR that is not held out."""
    for dataset in ("flickr8k", "daquar"):
        opened, held = features.open_picture(data, dataset), features.held_names(data, dataset)
        yield from ((name, opened(name)) for name in features.names(data, dataset)[::2] if name not in held)


def stickers(seed: int, n: int) -> Iterator[tuple[str, PIL.Image.Image]]:
    """Scenes of one thing, each with its name, with its colour before it where that is painted on."""
    scenes = Scenes("train", seed)
    while n:
        scene = scenes.scene()
        if len(scene.things) == 1:
            (thing,), n = scene.things, n - 1
            yield f"{thing.paint},{thing.name}", scenes.draw(scene)


class Names:
    """Cuts and the embeddings of their names, drawn so that rare names are not much rarer."""

    def __init__(self, cuts: Named, said: Callable[[list[str]], torch.Tensor], besides: list[str]) -> None:
        self.seen, shown = cuts
        names = sorted({*shown, *besides})
        self.labels = labels(said, names)  # [names, 256]
        self.own = torch.tensor([names.index(name) for name in shown])
        self.weight = torch.bincount(self.own)[self.own] ** -EVEN

    def loss(self, embed: Callable[[torch.Tensor], torch.Tensor], n: int) -> torch.Tensor:
        some = torch.multinomial(self.weight, n, replacement=True)
        return cross_entropy(HEAT * embed(dropout(self.seen[some], DROPPED)) @ self.labels.T, self.own[some])

    @torch.inference_mode()
    def right(self, embed: Callable[[torch.Tensor], torch.Tensor]) -> float:
        return ((embed(self.seen) @ self.labels.T).argmax(1) == self.own).float().mean().item()


def learn(data: Path, model: nn.Module, said: Callable[[list[str]], torch.Tensor], seen: Seen) -> torch.Tensor:
    """The new weight of the image head, [256, 1280]."""
    head = model.visual.head.proj
    first, shift = head.weight.data.clone(), head.bias.data
    weight = first.clone().requires_grad_()

    def cut(held: bool, people: bool) -> Named:
        source = portraits.cuts(data, held) if people else things.cuts(data, held, crowded=True)
        return seen(f"{'people' if people else 'things'}-{held}", ((one[0], part) for one, part in source))

    def sticker(seed: int, n: int, hues: bool) -> Names:
        """Stickers by their names alone, or those that are painted by colour and name."""
        given, shown = seen(f"stickers-{seed}", stickers(seed, n))
        split = [one.split(",") for one in shown]
        if not hues:
            return Names((given, [name for _, name in split]), said, [])
        some = [i for i, (paint, _) in enumerate(split) if paint]
        return Names((given[some], [" ".join(split[i]) for i in some]), said, [])

    learnt = [
        (1.0, Names(cut(False, people=False), said, BESIDES)),
        (PEOPLE, Names(cut(False, people=True), said, [])),
        (DRAWN, sticker(0, STICKERS, hues=False)),
        (HUES, sticker(0, STICKERS, hues=True)),
    ]
    held = [Names(cut(True, people), said, []) for people in (False, True)]
    held += [sticker(1_000_003, HELD, hues) for hues in (False, True)]
    real = seen("photos", photos(data))[0]
    unreal = Unreal(real)

    def by(weight: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda given: normalize(given @ weight.T + shift, dim=-1)

    print(
        "held-out things, people, stickers, painted ones, named right:",
        [round(one.right(by(first)), 3) for one in held],
        flush=True,
    )
    optimizer = torch.optim.AdamW([weight], lr=RATE, weight_decay=0)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / STEPS)
        rest = torch.cat([real[torch.randint(len(real), (384,))], unreal(384)[0]])
        moved = 1 - (by(weight)(rest) * by(first)(rest)).sum(-1).mean()
        told = sum((share * names.loss(by(weight), 256) for share, names in learnt), torch.zeros(()))
        loss = told + KEPT * moved
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 99:
            figures = [round(one.right(by(weight.detach())), 3) for one in held]
            print(f"{step + 1} steps: others moved by {moved.item():.4f}, named right {figures}", flush=True)
    return weight.detach()


def main() -> None:
    options = arguments(__doc__).parse_args()
    torch.manual_seed(0)
    model, prepare, tokenizer = opened(options.start)
    said = reader(model, tokenizer)
    model.visual.head.proj.weight.data.copy_(learn(options.data, model, said, Seen(model.visual.trunk, prepare)))
    export(model, tokenizer, options.out)


if __name__ == "__main__":
    main()
