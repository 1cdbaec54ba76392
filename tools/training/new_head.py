"""Learns an image head of the bundled CLIP anew, for a tower that has changed; the texts stay as they are.

So Lite2 took the place of Lite0: the losses are `join_head`'s, but there is nothing to stay near to, and no dreams. What is
kept is the average of the last weights, and of the runs of several seeds: `ground_head` goes on from it."""

import copy
import random
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch.nn.functional import normalize

from tools.training import features
from tools.training.features import rows
from tools.training.join_head import HELD, SCENES, Head, Stickers, Texts, right
from tools.training.train_clip import (
    DIM,
    World,
    arguments,
    build,
    export,
    labels,
    match_loss,
    measure,
    node_index,
    schedule,
    soft_loss,
    texts,
)

STEPS, RATE, HEAT, DROPPED = 900, 1e-3, 30, 0.3
PHOTOS, MADE_UP, SHOWN, NODES = 384, 480, 128, 320  # a step: photos, features of none, stickers, classes' names
REAL, DRAWN = 0.3, 0.3  # weights of photos among the names, which their captions say less surely, and of stickers


def learn(data: Path, said: Texts, seed: int) -> Head:
    torch.manual_seed(seed)
    random.seed(seed)
    world = World(data)
    stickers, held = Stickers("train", 0, SCENES), Stickers("train", 1_000_003, HELD)
    new = Stickers("objects", 1_000_003, HELD)
    head, spoken = Head(torch.randn(DIM, features.WIDTH) * features.WIDTH**-0.5, world.usual), texts(data)
    captions = said(spoken["captions"])
    classes = labels(said, [row["name"] for row in rows(data / "imagenet_classes.jsonl")])  # [1000, 256]
    forms = [spoken["nodes"][i] for places in node_index(data) for i in places[:3]]  # bare, plural, in a template
    nodes = normalize(said(forms).unflatten(0, (-1, 3)).mean(1), dim=-1)
    optimizer = torch.optim.AdamW(head.parameters(), betas=(0.9, 0.98), weight_decay=0.1)
    average, losses = copy.deepcopy(head), []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * schedule(step, STEPS, warm=50)
        i, seen, opinion = world.photos(PHOTOS)
        unreal, guess = world.made_up(MADE_UP)
        opinions, shows = torch.cat([opinion, guess]), head(torch.cat([seen, unreal]), DROPPED)
        chosen, shown = world.some_nodes(NODES), random.sample(range(SCENES), SHOWN)
        asked, true = stickers.asked(shown)
        told = -(opinions * (HEAT * shows @ classes.T).log_softmax(-1)).sum(1)
        parts = [
            match_loss(HEAT * shows[:PHOTOS] @ captions[i * 5 + torch.randint(5, i.shape)].T),
            soft_loss(HEAT * shows @ nodes[chosen].T, opinions @ world.owns[:, chosen]),
            (REAL * told[:PHOTOS].sum() + told[PHOTOS:].sum()) / len(told),
            DRAWN * soft_loss(HEAT * head(stickers.seen[shown], DROPPED) @ said(asked).T, true),
        ]
        optimizer.zero_grad()
        torch.stack(parts).sum().backward()
        optimizer.step()
        with torch.no_grad():
            average.proj.weight.lerp_(head.proj.weight, max(0.01, 1 / (step + 2)))
        losses.append([part.item() for part in parts])
        if step % 300 == 299:
            print(f"{step + 1} steps, match, nodes, names, stickers {np.mean(losses, 0).round(3)}", flush=True)
            print(
                measure(data, average, said.encode), right(held, average, said), right(new, average, said), flush=True
            )
            losses = []
    return average


def main() -> None:
    wanted = arguments(__doc__)
    wanted.add_argument("--seeds", type=int, default=3, help="runs whose heads are averaged")
    options = wanted.parse_args()
    tokenizer = Tokenizer.from_file(str(options.start / "tokenizer.json"))
    model = build(tokenizer.get_vocab_size()).requires_grad_(False)
    before = load_file(options.start / "open_clip_model.safetensors")
    model.load_state_dict({k: v.float() for k, v in before.items() if not k.startswith("visual.")}, strict=False)
    model.visual.trunk.load_state_dict(features.tower(tuned=True).state_dict())
    features.ensure(options.data, "tuned")
    said = Texts(model, tokenizer)
    heads = [learn(options.data, said, seed) for seed in range(options.seeds)]
    weight = torch.stack([head.proj.weight.data for head in heads]).mean(0)
    model.visual.head.proj.weight.data.copy_(weight)
    model.visual.head.proj.bias.data.copy_(-weight @ heads[0].usual)
    export(model, tokenizer, options.out)


if __name__ == "__main__":
    main()
