"""Averages weights of the vision-language model, and says how well the average captions held-out photos.

Weights are named as a checkpoint's file and which of its two ("build/sight/vlm-reward-0.pt:average"), or as a model's folder;
"=2" after one counts it twice. Source: Wortsman et al., Model soups, 2022."""

import argparse
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import FastVlmForConditionalGeneration

from tools.training.reward_vlm import held_out
from tools.training.train_vlm import build, export

Weights = dict[str, torch.Tensor]


def read(name: str) -> Weights:
    file, _, which = name.partition(":")
    if which:
        return dict(torch.load(file)[which])
    return FastVlmForConditionalGeneration.from_pretrained(file, dtype=torch.float32).state_dict()


def blend(parts: list[tuple[Weights, float]]) -> Weights:
    """The mean of weights of one shape, each as heavy as the number beside it; what is no fraction is the first one's."""
    total = sum(share for _, share in parts)
    first = parts[0][0]
    return {
        name: sum((weights[name] * (share / total) for weights, share in parts), torch.zeros_like(value))
        if value.is_floating_point()
        else value
        for name, value in first.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", nargs="+")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--words", type=Path, default=Path("assets/models/quartet-vlm/tokenizer.json"))
    parser.add_argument("--out", type=Path, default=Path("build/blend"))
    options = parser.parse_args()
    named = [one.partition("=") for one in options.weights]
    tokenizer = Tokenizer.from_file(str(options.words))
    model = build(tokenizer.get_vocab_size()).eval()
    model.load_state_dict(blend([(read(name), float(share or 1)) for name, _, share in named]))
    print(f"CIDEr-D {held_out(model, tokenizer, options.data, options.photos):.4f}")
    export(model, tokenizer, options.out)


if __name__ == "__main__":
    main()
