"""What a small text-to-image model has learned to draw, and which words of a prompt it has not."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

FILE = "known.safetensors"
ALIKE = 0.74  # least cosine of a part of a prompt to a known name: nineteen in twenty training captions are above


@dataclass(frozen=True)
class Known:
    """`names` of things, the first `things` of them one for each, the others more words for them; their unit `vectors`
    [names, d] from the model's own text encoder; `around`: the words that stand around names ("a", "red", "two")."""

    names: list[str]
    vectors: torch.Tensor
    around: frozenset[str]
    things: int

    def parts(self, prompt: str) -> list[str]:
        """The runs of words of a prompt that are not `around` names."""
        words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", prompt)
        marked = "".join("\n" if word.lower() in self.around else f" {word}" for word in words)
        return [part.strip() for part in marked.split("\n") if part.strip()]

    def strange(self, prompt: str, encoder: Any, tokenizer: Any) -> tuple[list[str], list[str]]:
        """The parts of a prompt that are like no known name (all of it where it names nothing), and the three things
        nearest to them."""
        parts = self.parts(prompt) or [prompt.strip()]
        alike = embed(parts, encoder, tokenizer) @ self.vectors.T  # [parts, names]
        unlike = [i for i, best in enumerate(alike.max(1).values.tolist()) if best < ALIKE]
        nearest = alike[unlike, : self.things].max(0).values.topk(3).indices.tolist() if unlike else []
        return list(dict.fromkeys(parts[i] for i in unlike)), [self.names[i] for i in nearest]


def read(folder: Path) -> Known | None:
    """What the model in `folder` says that it knows, if it says it."""
    if not (folder / FILE).exists():
        return None
    with safe_open(folder / FILE, "pt") as file:
        meta, vectors = file.metadata(), file.get_tensor("vectors").float()
    return Known(json.loads(meta["names"]), vectors, frozenset(json.loads(meta["around"])), int(meta["things"]))


def write(known: Known, folder: Path) -> None:
    meta = {"names": json.dumps(known.names), "around": json.dumps(sorted(known.around)), "things": str(known.things)}
    save_file({"vectors": known.vectors.half().contiguous()}, folder / FILE, meta)


@torch.inference_mode()
def embed(texts: list[str], encoder: Any, tokenizer: Any) -> torch.Tensor:
    """Unit vectors [texts, d] on the CPU: the mean of the encoder's token vectors (Reimers and Gurevych, Sentence-BERT,
    2019)."""
    tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(encoder.device)
    states = encoder(**tokens).last_hidden_state.float()  # [texts, tokens, d]
    there = tokens["attention_mask"][..., None].float()
    return torch.nn.functional.normalize((states * there).sum(1) / there.sum(1), dim=-1).cpu()
