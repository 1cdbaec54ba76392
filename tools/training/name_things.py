"""Teaches the text tower of the bundled CLIP the names of things that are no class of ImageNet and hardly in any caption.

The tower has read such names nowhere: "donut" came to lie near oboes. Where names that it knows lie is regressed on what
MiniLM says of them with their definitions and of what they are kinds of, by kernel ridge regression; so is told where
others belong. Other names of what it knows ("panda", "orca") belong where its own name is. Each word of the names becomes
one token. What the tower gives for all that it knows stays nearly as it was, and the image tower as it is."""

import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn.functional import cosine_similarity, normalize
from wordfreq import zipf_frequency

from pipelines.classify import filled
from tools.training import features, portraits, things, words
from tools.training.features import FOLDER
from tools.training.ground_head import Seen, photos
from tools.training.stickers import PAINTS
from tools.training.train_clip import (
    TEMPLATES,
    Unreal,
    arguments,
    encode_minilm,
    export,
    forms,
    grown,
    ids,
    labels,
    opened,
    read_all,
    reader,
    schedule,
    texts,
)

FILE = FOLDER / "names.pt"  # where names belong and known texts are, for the weights that it began with
RUN = FOLDER / "names-run.pt"  # how far the training is
EVERYDAY = Path(__file__).with_name("everyday.txt")
COMMON = 2.5  # words as frequent as that are common enough to be labels
LISTED = 4.5  # the frequency that names of the list count with
STEPS, RATE = 1500, 8e-4
NEW, OLD = 320, (32, 160, 24, 16, 8)  # texts in a step; of those to keep, of each kind
KEPT = 60.0  # weight of what is known, against that of the new names
SAID = 10  # captions that use a name teach it
RIDGE = 0.01
CLASSES = 1000
BEYOND = 1.15  # how much more pictures shall differ in how near they are to a name than to a class
FARTHEST = 6.0  # so many times as far from the mean as regression tells is a name taken at most
COMMONER = 1.6  # a name is read so much oftener for each unit of its frequency


def everyday() -> dict[str, words.Node]:
    """Things that have a common name in WordNet."""
    nouns, found = words.synsets(), dict[str, words.Node]()
    for lemma, places in words.senses():
        thing = next((place for place in places if nouns[place].file in words.THINGS), None)
        common = COMMON + lemma.count(" ")
        if thing and re.fullmatch(r"[a-z][a-z' -]+", lemma) and min(often(word) for word in lemma.split()) > common:
            found[lemma] = words.Node([lemma], nouns[thing].gloss, words.hypernyms(thing, nouns))
    return found


def listed() -> dict[str, words.Node]:
    """Everyday things that have no name there, or another one."""
    lines = [line for line in EVERYDAY.read_text("utf-8").splitlines() if not line.startswith("#")]
    split = (re.split(", |: ", line, maxsplit=2) for line in lines)
    return {name: words.Node([name], gloss, [above]) for name, above, gloss in split}


def often(word: str) -> float:
    """The Zipf frequency of a word: the logarithm of how often it is said in 10^9 words (Speer, wordfreq, 2022)."""
    return zipf_frequency(word, "en")


def told(node: words.Node) -> tuple[str, str, str]:
    """Three texts about a thing."""
    name, above = node.wordings[0], node.above
    return (
        f"{name}: {node.gloss}",
        ", ".join([name, *above]),
        f"{name}, a kind of {', '.join(above[:2])}: {node.gloss}",
    )


def belong(known: list[words.Node], where: torch.Tensor, others: list[words.Node], seen: torch.Tensor) -> torch.Tensor:
    """Where `others` belong among the embeddings [n, 256] of what is `known`, the classes first: [m, 256], unit length.
    Regression shrinks towards the mean, and each name as far as little is known of its like. So each is taken beyond, until
    the pictures whose embeddings are `seen` [k, 256] are as near to it on average as to the classes, and differ more."""
    kernel, reach = torch.zeros(len(known), len(known)), torch.zeros(len(others), len(known))
    for form in zip(*map(told, known + others), strict=True):
        vectors = encode_minilm([*form])
        usual = vectors[: len(known)].mean(0)
        ours, theirs = normalize(vectors - usual, dim=-1).split([len(known), len(others)])
        kernel += torch.exp(ours @ ours.T - 1) / 3
        reach += torch.exp(theirs @ ours.T - 1) / 3
    usual = where.mean(0)
    away = reach @ torch.linalg.solve(kernel + RIDGE * torch.eye(len(known)), where - usual)
    middle, spread = seen.mean(0), torch.cov(seen.T)

    def deviation(texts: torch.Tensor) -> torch.Tensor:  # of the pictures' similarities to each, [n, 256] -> [n, 1]
        return (texts @ spread * texts).sum(1, keepdim=True).sqrt()

    near, apart = (where[:CLASSES] @ middle).mean(), BEYOND * deviation(where[:CLASSES]).mean()
    beyond, nearer = torch.ones(len(others), 1), torch.zeros(len(others), 1)
    for _ in range(30):
        placed = normalize(usual + beyond * away + nearer * normalize(middle, dim=0), dim=-1)
        nearer += (near - placed @ middle)[:, None] / middle.norm()
        beyond = (beyond * apart / deviation(placed)).clamp(max=FARTHEST)
    return placed


class Names:
    """What the tower shall learn, and what it shall keep."""

    def __init__(self, data: Path, said: Callable[[list[str]], torch.Tensor], seen: Callable[[], torch.Tensor]) -> None:
        everything, nodes = texts(data), words.nodes(data)
        count = Counter(re.findall("[a-z]+", " ".join(everything["captions"]).lower()))
        # What cuts of photos show, the head learns from them.
        shown = sorted({name for name, *_ in features.kept(things.FILE)[1]} | {*portraits.WHO})
        taken = {wording.lower() for node in nodes for wording in node.wordings[:3]} | {*shown}
        own = listed()
        found = {name: node for name, node in (everyday() | own).items() if name not in taken}

        def often_said(name: str) -> bool:
            return min((count[word] for word in re.findall("[a-z]+", name)), default=0) >= SAID

        known = nodes + [node for name, node in found.items() if often_said(name)]
        placed = [name for name in found if not often_said(name)]
        also = {name: i for name, i in words.synonyms(nodes).items() if name not in shown and not often_said(name)}
        names = [*placed, *also]
        frequency = [LISTED if name in own else often(name.split()[-1]) - name.count(" ") for name in names]
        self.weight = COMMONER ** torch.tensor(frequency)
        self.forms = [[name, filled(TEMPLATES[1], name), words.plural(name)] for name in names]
        first = [form for node in nodes for form in (node.wordings[0], filled(TEMPLATES[1], node.wordings[0]))]
        nouns = [noun for noun in everything["nouns"] if noun not in {*names}]
        hues = [*PAINTS, *shown, *(f"{colour} {name}" for name in shown for colour in PAINTS)]
        more = [form for node in nodes for form in forms(replace(node, wordings=node.wordings[:1]))]
        self.kept = [everything["captions"], first, more, nouns, hues]
        if not FILE.exists():
            where = labels(said, [node.wordings[0] for node in known])
            target = belong(known, where, [found[name] for name in placed], seen())
            target = torch.cat([target, where[[*also.values()]]])
            torch.save((target, where.mean(0), [said(some) for some in self.kept]), FILE)
        self.target, self.usual, self.before = torch.load(FILE)

    def some(self) -> tuple[list[str], torch.Tensor, list[str], torch.Tensor]:
        """Names to learn and where they belong, and texts to keep and where they are."""
        chosen = torch.multinomial(self.weight, NEW).tolist()
        old, were = list[str](), []
        for some, before, n in zip(self.kept, self.before, OLD, strict=True):
            drawn = torch.randint(len(some), (n,)).tolist()
            old += [some[i] for i in drawn]
            were.append(before[drawn])
        new = [random.choices(self.forms[i], (4, 4, 1))[0] for i in chosen]
        return new, self.target[chosen], old, torch.cat(were)


def learn(model: nn.Module, tokenizer: Tokenizer, names: Names) -> None:
    """Resumes from its checkpoint, which goes at the end."""
    optimizer = torch.optim.AdamW(model.text.parameters(), RATE, betas=(0.9, 0.98), weight_decay=0.02)
    losses, done = [], 0
    if RUN.exists():
        text, state, done = torch.load(RUN)
        model.text.load_state_dict(text)
        optimizer.load_state_dict(state)
    torch.manual_seed(done)
    random.seed(done)
    for step in range(done, STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * schedule(step, STEPS)
        new, target, old, before = names.some()
        told_new, told_old = read_all(model, ids(tokenizer, new), ids(tokenizer, old))
        learnt = 1 - cosine_similarity(told_new - names.usual, target - names.usual).mean()
        kept = 1 - cosine_similarity(told_old, before).mean()
        optimizer.zero_grad()
        (learnt + KEPT * kept).backward()
        optimizer.step()
        losses.append([learnt.item(), kept.item()])
        if step % 100 == 99:
            learnt, kept = torch.tensor(losses[-100:]).mean(0).tolist()
            print(f"{step + 1} steps: new names {learnt:.3f}, known texts moved by {kept:.4f}", flush=True)
            torch.save((model.text.state_dict(), optimizer.state_dict(), step + 1), RUN)
    RUN.unlink()


def main() -> None:
    options = arguments(__doc__).parse_args()
    torch.manual_seed(0)
    model, prepare, tokenizer = opened(options.start)

    def seen() -> torch.Tensor:
        """The embeddings of photos, and of as many features made up for the classes."""
        real = Seen(model.visual.trunk, prepare)("photos", photos(options.data))[0]
        return normalize(model.visual.head(torch.cat([real, Unreal(real)(len(real))[0]])), dim=-1)

    names = Names(options.data, reader(model, tokenizer), seen)
    model, tokenizer = grown(model, tokenizer, [name for name, *_ in names.forms])
    learn(model, tokenizer, names)
    export(model, tokenizer, options.out)


if __name__ == "__main__":
    main()
