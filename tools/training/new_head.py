"""Learns an image head of the bundled CLIP anew, for a tower that has changed; the texts stay as they are.

So Lite2 took the place of Lite0: the lessons are `join_head`'s, but there is nothing to stay near to, and no dreams. What is
kept is the average of the last weights, and of the runs of several seeds: `ground_head` goes on from it."""

import random

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from tools.training import features
from tools.training.join_head import Head, Lessons, Recipe, Texts
from tools.training.train_clip import DIM, arguments, build, export

STEPS, HEAT = 900, 30
RECIPE = Recipe(384, 480, dreams=0, thumbnails=0, matched=1.0, named=1.0, drawn=0.3, kept=0.0, decay=0.1)


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
    lessons, learnt = Lessons(options.data, Texts(model, tokenizer)), []
    for seed in range(options.seeds):
        torch.manual_seed(seed)
        random.seed(seed)
        first = Head(torch.randn(DIM, features.WIDTH) * features.WIDTH**-0.5, lessons.world.usual)
        learnt.append(lessons.learn(first, RECIPE, STEPS, HEAT).proj.weight.data)
    weight = torch.stack(learnt).mean(0)
    model.visual.head.proj.weight.data.copy_(weight)
    model.visual.head.proj.bias.data.copy_(-weight @ first.usual)
    export(model, tokenizer, options.out)


if __name__ == "__main__":
    main()
