"""Teaches the image head of the bundled CLIP what people call everyday things that ImageNet has no name for, and people.

It learns from what a detector finds in photos that people described (`things`, `portraits`), as the tower sees it at the
size in use. What the head gives for all other photos, for features made up for ImageNet's names, and for stickers stays
nearly what it was; the tower and the texts stay as they are."""

import argparse
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import open_clip
import PIL.Image
import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn.functional import cross_entropy, dropout, normalize

from tools.training import features, portraits, things
from tools.training.features import BATCH, FOLDER
from tools.training.scenes import Scenes
from tools.training.train_clip import Unreal, export, labels, reader

STEPS, RATE, DROPPED, HEAT = 400, 2e-4, 0.2, 30
STICKERS = 1000
PEOPLE, KEPT = 0.4, 70  # weights of the losses of people's names and of change, against that of things' names
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
    """Photos of Flickr8k and of DAQUAR that are not held out."""
    for dataset in ("flickr8k", "daquar"):
        opened, held = features.open_picture(data, dataset), features.held_names(data, dataset)
        yield from ((name, opened(name)) for name in features.names(data, dataset) if name not in held)


def stickers() -> Iterator[tuple[str, PIL.Image.Image]]:
    scenes = Scenes("train", 0)
    yield from (("", scenes.draw(scenes.scene())) for _ in range(STICKERS))


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

    learnt = [Names(cut(False, people=False), said, BESIDES), Names(cut(False, people=True), said, [])]
    held = [Names(cut(True, people), said, []) for people in (False, True)]
    real, drawn = seen("photos", photos(data))[0], seen("stickers", stickers())[0]
    unreal = Unreal(real)

    def by(weight: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda given: normalize(given @ weight.T + shift, dim=-1)

    print("held-out things and people, named right:", [round(one.right(by(first)), 3) for one in held], flush=True)
    optimizer = torch.optim.AdamW([weight], lr=RATE, weight_decay=0)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / STEPS)
        rest = torch.cat([part[torch.randint(len(part), (n,))] for part, n in ((real, 384), (drawn, 384))])
        rest = torch.cat([rest, unreal(384)[0]])
        moved = 1 - (by(weight)(rest) * by(first)(rest)).sum(-1).mean()
        things_told, people_told = (names.loss(by(weight), 256) for names in learnt)
        loss = things_told + PEOPLE * people_told + KEPT * moved
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 99:
            figures = [round(one.right(by(weight.detach())), 3) for one in held]
            print(f"{step + 1} steps: others moved by {moved.item():.4f}, named right {figures}", flush=True)
    return weight.detach()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--start", type=Path, default=Path("assets/models/quartet-clip"))
    parser.add_argument("--out", type=Path, default=Path("assets/models/quartet-clip"))
    options = parser.parse_args()
    torch.manual_seed(0)
    model, prepare = open_clip.create_model_from_pretrained(f"local-dir:{options.start}")
    model.eval().requires_grad_(False)
    tokenizer = Tokenizer.from_file(str(options.start / "tokenizer.json"))
    said = reader(model, tokenizer)
    model.visual.head.proj.weight.data.copy_(learn(options.data, model, said, Seen(model.visual.trunk, prepare)))
    export(model, tokenizer, options.out)


if __name__ == "__main__":
    main()
