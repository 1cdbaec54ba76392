"""What a small text-to-image model has learned to draw, and a prompt in the words that it has learned."""

import functools
import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pipelines.chinese import COLOURS, WORDS, article, english

FILE = "known.safetensors"
ALIKE = 0.74  # cosine of a part of a prompt to a name from which on they mean the same
SAME = 0.9  # … and from which on a compound is that thing, whatever its last word names: "jelly fish"
NEAR = 0.5  # … and from which on it is worth drawing in its stead
SHADES = {
    shade: colour
    for colour, shades in {
        "yellow": "gold golden blond blonde", "gray": "silver", "red": "crimson scarlet maroon",
        "blue": "navy azure turquoise teal cyan indigo", "green": "emerald", "purple": "violet lilac lavender magenta",
        "brown": "beige tan bronze", "white": "ivory",
    }.items()
    for shade in shades.split()
}  # fmt: skip
SHADE = re.compile(rf"\b(an? )?({'|'.join(SHADES)}) (?=([^\W\d]+))", re.IGNORECASE)
COUNTS = ("one", *WORDS[2:5])
# What stands before a colour, and after one that is a thing: "a cat in orange", "an orange to the left of a cat".
COLOURED = re.compile(r"\b(?:and|are|in|is|or)\s+$", re.IGNORECASE)
AFTER = re.compile(
    r"\s*(?:$|[^\w\s]|(?:and (?:an?|one|two|three|four|the)|above|at|behind|below|beside|by|in|near|next|on|over|to|under|with)\b)",
    re.IGNORECASE,
)


PEOPLE = re.compile(
    r"(?:\w*wo|police|fire|business|sports|french|english|irish|gentle|mail|post|cow)?m[ae]n|\w*(?:boy|girl)s?|lad(?:y|ies)|guys?"
    r"|(?:grand)?(?:mother|father|m[ou]m|dad|parent|son|daughter|child|children|kid|baby|babies|ma|pa)s?|toddlers?|infants?|teenagers?"
    r"|persons?|people|humans?|adults?|brothers?|sisters?|aunts?|uncles?|husbands?|wi(?:fe|ves)|brides?|grooms?|friends?"
    r"|families|family|teachers?|students?|doctors?|nurses?|soldiers?|workers?|farmers?|dancers?|singers?"
    r"|act(?:or|ress)(?:es|s)?|presidents?|kings?|queens?|princes{,2}|knights?|pirates?|wizards?|clowns?|selfies?"
    r"|.*(?:男人|女人|女孩|男孩|孩子|小孩|[儿兒]童|[婴嬰][儿兒]|老人|人们|女士|先生|妈妈|媽媽|爸爸|老[师師]|[医醫]生|[国國]王(?!企)|王后|公主|王子).*",
    re.IGNORECASE,
)
CALLED = set(
    "女 婴儿 嬰兒 国王 國王 王后 母 同志 同性 女巫 持票人 狡猾的人".split()
)  # people, as emoji of things are called, too
NOBODY = re.compile(
    r"(?:snow|gingerbread) ?m[ae]n|chess \w+|famil(?:y|ies)(?= of\b)", re.IGNORECASE
)  # for all their names


class Reading(NamedTuple):
    """A prompt in a model's own words: `said` is it in plain English, `taken` pairs parts of what was asked with the names
    they are taken for; the `strange` ones among them are like no name, and `nearest` are the three things that are least
    unlike. `people`: the parts that name somebody, which no thing can stand for."""

    prompt: str
    said: str
    taken: list[tuple[str, str]]
    strange: list[str]
    nearest: list[str]
    people: list[str]


@dataclass(frozen=True)
class Known:
    """`names` of things, the first `things` of them one for each, the others more words for them; what to `say` for each of
    them, mostly itself; unit `vectors` [compared, d] of the first of them from the model's own text encoder, as those that have
    words around them ("green snake") are only said; `around`: the words that stand around names ("a", "red", "two"). What a
    small model draws for a prompt is much alike, whatever the noise: so seeds take in turn the things that a `general` word
    stands for ("fruit"), the `kinds` that there are of some things ("black cat" of "cat"), and the `turns`: those of the words
    for unusual `ways` to stand ("tilted") in which a thing is drawn well."""

    names: list[str]
    say: list[str]
    vectors: torch.Tensor
    around: frozenset[str]
    things: int
    chinese: dict[str, tuple[str, str]]
    kinds: dict[str, list[str]]
    general: dict[str, list[str]]
    ways: list[str]
    turns: dict[str, list[str]]

    def parts(self, prompt: str) -> list[tuple[int, int]]:
        """Where a prompt has runs of words that are not `around` names: starts and ends. "Orange" is a colour before other
        words, and else a thing."""
        runs: list[tuple[int, int]] = []
        for word in re.finditer(r"[^\W\d_]+(?:'[^\W\d_]+)?", prompt):
            said = word.group().lower()
            thing = (
                said in self.colours and AFTER.match(prompt, word.end()) and not COLOURED.search(prompt[: word.start()])
            )
            if said in self.around and not thing:
                continue
            if runs and not prompt[runs[-1][1] : word.start()].strip(" -"):
                runs[-1] = runs[-1][0], word.end()
            else:
                runs.append(word.span())
        return runs

    @functools.cached_property
    def colours(self) -> set[str]:
        """Colours that are things, too."""
        return {*COLOURS.values()} & {*self.names}

    @functools.cached_property
    def learned(self) -> set[str]:
        """What can be said, as it stands in a prompt, without the words around: "pizza" of "slice of pizza"."""
        return {name[start:end] for name in self.say for start, end in self.parts(name)}

    @property
    def compared(self) -> list[str]:
        return self.names[: len(self.vectors)]

    @functools.cached_property
    def whole(self) -> torch.Tensor:  # [compared]
        """Which names have no words around: "snake", not "cup of coffee"."""
        return torch.tensor([self.parts(name) == [(0, len(name))] for name in self.compared])

    @functools.cached_property
    def broad(self) -> torch.Tensor:  # [compared]
        """Which names are general: a strange word is rather like a thing."""
        return torch.tensor([name in self.general for name in self.compared])

    @functools.cached_property
    def several(self) -> torch.Tensor:  # [compared]
        """Which names are plurals, as "owls" with "owl" among them: "night" is rather like an owl."""
        ones = {*self.names}
        return torch.tensor(
            [name[-1] == "s" and not ones.isdisjoint({name[:-1], name[:-2], name[:-3] + "y"}) for name in self.compared]
        )

    def against(self, negative: str, prompt: str) -> str:
        """A negative prompt in the model's words. A colour alone ("red") is said of the one thing of the `prompt` ("a red car"):
        what it draws alone is no more than a blot."""
        negative, parts = english(negative, self.chinese), self.parts(prompt)
        if len(parts) != 1 or negative.lower() not in {*COLOURS.values(), "white", "grey"}:
            return negative
        start = parts[0][0]
        return f"{prompt[:start]}{negative} {prompt[start:]}"

    def turned(self, prompt: str, seed: int) -> str:
        """A prompt as the seed has it: "an animal" becomes one of the animals, and one thing of a kind another drawing of it ("a
        cat": "a black cat" or "a wide cat"). What tells a colour or a way itself is not turned."""
        parts, own = self.parts(prompt), {*self.ways, *COLOURS.values()}
        told = [bool(own & {*prompt[:start].lower().split()}) for start, _ in parts]
        for (start, end), fixed in reversed([*zip(parts, told, strict=True)]):
            if things := self.general.get(prompt[start:end].lower()):
                prompt = instead(prompt, start, end, things[0 if fixed else seed % len(things)])
                seed //= len(things)
        if len(parts) != 1 or told[0]:
            return prompt
        ((start, end),) = self.parts(prompt)
        name, rest = prompt[start:end], prompt[end:]
        one = re.match(r"(.*\b)(an?|one|the) (.*)", prompt[:start], re.IGNORECASE)
        if not one and (start or name.endswith("s")):  # of "cats" there may be many
            return prompt
        before, which, unit = one.groups() if one else ("", "", "")  # "slice of "
        kinds = [] if unit else self.kinds.get(name.lower(), [])
        said = [unit + name, *kinds, *(f"{way} {unit}{name}" for way in self.turns.get(name.lower(), []))]
        chosen = said[seed % len(said)]
        counted = article(chosen) if which.lower() in ("a", "an") else f"{which} {chosen}".strip()
        return prompt if chosen == said[0] else before + counted + rest

    def plain(self, prompt: str) -> str:
        """A prompt with the colours that the model has learned in place of shades of them: "a gold car"."""

        def colour(found: re.Match[str]) -> str:
            shade, thing = found[2].lower(), found[3].lower()
            if AFTER.match(prompt, found.end(2)) or not {
                f"{shade} {thing}",
                f"{shade} {thing.removesuffix('s')}",
            }.isdisjoint(self.names):
                return found[0]  # "an emerald and a ring", "gold coins"
            if thing in COLOURS.values():  # "navy blue"
                return article(thing).removesuffix(thing) if found[1] else ""
            return (article(SHADES[shade]) if found[1] else SHADES[shade]) + " "

        return SHADE.sub(colour, prompt)

    def read(self, prompt: str, encoder: Any, tokenizer: Any) -> Reading:
        """What is Chinese becomes English; then each part of a prompt that is no name becomes the name nearest in meaning to
        it, or to one of its words."""
        said = english(prompt, self.chinese)
        said = re.sub(r"\b[1-4]\b(?= [^\W\d])", lambda digit: COUNTS[int(digit[0]) - 1], said)
        prompt = said = self.plain(said)
        parts = self.parts(prompt)
        spans = [(start, end) for start, end in parts if prompt[start:end].lower() not in self.learned]
        if not parts and not {*re.findall(r"\w+", prompt.lower())} & {*self.names}:  # but "a cup" is a thing
            spans = [(0, len(prompt))]  # nothing is named: all of it is strange
        people = [
            prompt[start:end]
            for start, end in spans
            if PEOPLE.fullmatch(prompt[start:end].split()[-1]) and not NOBODY.search(prompt[start : end + 3])
        ]
        taken, unlike = {}, {}
        for start, end in reversed(spans):
            part = prompt[start:end]
            if part in people:
                continue
            alike = embed([part, *part.split()], encoder, tokenizer) @ self.vectors.T  # [1 + words, compared]
            unfit = ~self.whole | self.broad & (alike < SAME) | self.several & (part[-1] != "s")
            best = alike.masked_fill(unfit, -1).max(1)
            if best.values[0] < SAME and part.split()[-1].lower() in self.names:
                row = -1  # "notebook computer"
            elif best.values[0] >= ALIKE:
                row = 0
            else:
                row = int(best.values.argmax())  # "kitten" of "fluffy kitten"
            if parts and best.values[row] >= NEAR:
                name = taken[part] = self.say[int(best.indices[row])]
                prompt = instead(prompt, start, end, name)
            if best.values[row] < ALIKE:
                unlike[part] = alike[0, : self.things]
        nearest = torch.stack([*unlike.values()]).max(0).values.topk(3).indices.tolist() if unlike else []
        return Reading(
            prompt, said, [*reversed(taken.items())], [*unlike][::-1], [self.names[i] for i in nearest], people
        )


def instead(prompt: str, start: int, end: int, name: str) -> str:
    """The prompt with a name in place of one of its parts, and the article that it wants."""
    before = re.sub(r"\b[Aa]n? $", "", prompt[:start])
    return before + (name if before == prompt[:start] else article(name)) + prompt[end:]


def read(folder: Path) -> Known | None:
    """What the model in `folder` says that it knows, if it says it."""
    if not (folder / FILE).exists():
        return None
    with safe_open(folder / FILE, "pt") as file:
        meta, vectors = file.metadata(), file.get_tensor("vectors").float()
    lists = {name: json.loads(one) for name, one in meta.items()}
    things = {name: plain for name, plain in lists["chinese"].items() if name not in CALLED}
    return Known(vectors=vectors, **lists | {"around": frozenset(lists["around"]), "chinese": things})


def write(known: Known, folder: Path) -> None:
    lists = {field.name: getattr(known, field.name) for field in fields(known) if field.name != "vectors"}
    lists["around"] = sorted(known.around)
    meta = {name: json.dumps(one, ensure_ascii=False) for name, one in lists.items()}
    save_file({"vectors": known.vectors.half().contiguous()}, folder / FILE, meta)


@torch.inference_mode()
def embed(texts: list[str], encoder: Any, tokenizer: Any) -> torch.Tensor:
    """Unit vectors [texts, d] on the CPU: the mean of the encoder's token vectors (Reimers and Gurevych, Sentence-BERT,
    2019)."""
    tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(encoder.device)
    states = encoder(**tokens).last_hidden_state.float()  # [texts, tokens, d]
    there = tokens["attention_mask"][..., None].float()
    return torch.nn.functional.normalize((states * there).sum(1) / there.sum(1), dim=-1).cpu()
