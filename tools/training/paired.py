"""Questions that people asked about other photos, put to photos whose captions answer them.

VQA v2's questions come without their photos. Asked about a blur they teach what can be guessed, and that such wordings need
no look; a photo whose captions have all that a question speaks of, and one of the answers that people gave, is one that it
might have been asked about. What is paired so is synthetic."""

import functools
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import snowballstemmer

from tools.training.scenes import Exchange
from tools.training.synthetic import COLOURS, SALIENT, SOMEONE, colours, telling, tidy

ENGLISH = snowballstemmer.stemmer("english")
LEAST = 3  # people who gave an answer
KNOWN = 10  # photos that show what a question asks for, and can be missed in another
TRIES = 30
NO_WEIGHT = set(
    """what whats is are the a an in on of this that there do does did you see can photo picture image pictured shown seen visible
be been being it its and to at for with much any some has have had was were color colour colors kind type sort which who where
these those most here doing going happening""".split()
)
UNFIT = re.compile(
    r"\b(?:or|not|why|how|if|time|year|brand|name|say|says|word|written|many|would|will|could|should|us|other|another|black and white)\b"
)
YES_OR_NO = re.compile(r"(?:is|are|does|do|was|were|can you see) ")
OF_PRESENCE = re.compile(r"(?:is|are) there |(?:is|are) (?:this|that|these|those) an? |(?:do|can) you see ")
SAME = {
    "guy": "man", "men": "man", "gentleman": "man", "lady": "woman", "women": "woman", "kid": "child", "toddler": "child",
    "children": "child", "bike": "bicycle", "plane": "airplane", "motorbike": "motorcycle", "tv": "television", "sofa": "couch",
    "his": "he", "him": "he", "her": "she", "hers": "she", "their": "they", "them": "they",
}  # fmt: skip
WHOM = {  # what stands for whom: how captions' words for them start
    "he": r"(?:man|guy|boy|gentleman)\b", "she": r"(?:woman|lady|girl)\b",
    "they": r"(?:people|men|women|boys|girls|children|kids|guys|couple|group)\b", "person": f"(?:{SOMEONE})", "peopl": f"(?:{SOMEONE})",
}  # fmt: skip


class Asked(NamedTuple):
    """What a question speaks of, as stems, and its answer; the noun of which it asks the colour."""

    needed: tuple[str, ...]
    answer: str
    coloured: str = ""


@functools.cache
def stem(word: str) -> str:
    """A word without its ending: "riding" and "rides" are alike (Porter 2, by `snowballstemmer`)."""
    word = SAME.get(word, word)
    stemmed: str = ENGLISH.stemWord(word)
    return stemmed


def stems(text: str, but: Iterable[str] = NO_WEIGHT) -> set[str]:
    return {stem(word) for word in re.findall("[a-z]+", text.lower().replace("'s", "")) if word not in but}


class Paired:
    """Of each photo what people might have asked; and how they ask what a thing is, or how many there are."""

    def __init__(self, asked: Sequence[dict], captions: Mapping[int, Sequence[str]]) -> None:
        """`asked`: rows with a question and the answers to it; `captions`: those of each photo."""
        said = {photo: [*map(tidy, five)] for photo, five in captions.items()}
        self.told, self.shown = {}, {}  # stems that a caption has, and that two have
        having: dict[str, set[int]] = defaultdict(set)
        for photo, five in said.items():
            count = Counter(one for caption in five for one in stems(caption, ())) | Counter(
                {one: telling(five, words) for one, words in WHOM.items()}
            )
            self.told[photo], self.shown[photo] = {*+count}, {one for one, n in count.items() if n > 1}
            for one in self.shown[photo]:
                having[one].add(photo)
        self.wordings: dict[Asked, list[str]] = defaultdict(list)
        self.naming: dict[str, list[str]] = defaultdict(list)  # by the answer
        self.counting: dict[str, list[str]] = defaultdict(list)  # by what is counted
        for row in asked:
            self.read(row["question"].lower().strip(), row["answers"])
        self.of: dict[int, list[Asked]] = {photo: [] for photo in said}
        for about in self.wordings:
            needed = {*about.needed} | stems(about.answer, ("yes",))
            few, *others = sorted((having.get(need, set()) for need in needed), key=len)
            for photo in few.intersection(*others):
                if not about.coloured or colours(about.coloured, " . ".join(said[photo])) == {about.answer}:
                    self.of[photo].append(about)
        true = [one for one in self.wordings if one.answer == "yes"]
        self.of_presence = [
            (one, questions)
            for one in true
            if all(len(having.get(need, ())) >= KNOWN for need in one.needed)
            and (questions := [*filter(OF_PRESENCE.match, self.wordings[one])])
        ]
        self.lacking = {thing: [one for one in true if stem(thing) in one.needed] for thing in SALIENT}

    def read(self, question: str, answers: Sequence[str]) -> None:
        """Finds out what a question is good for."""
        most, people = Counter(answers).most_common(1)[0]
        if found := re.fullmatch(r"how many (\w+)(.*)", question):
            if not stems(found[2]):
                self.counting[found[1]].append(question)
        elif not UNFIT.search(question):
            needed = tuple(sorted(stems(question)))
            if YES_OR_NO.match(question):
                if needed:
                    self.wordings[Asked(needed, "yes")].append(question)
            elif (
                most not in ("yes", "no") and not most.isdigit() and people >= LEAST and not {*needed} & stems(most, ())
            ):
                if re.match("what|which|who", question):
                    self.naming[most].append(question)
                if needed:
                    noun = re.findall("[a-z]+", question)[-1] if most in COLOURS else ""
                    self.wordings[Asked(needed, most, noun)].append(question)

    def about(self, photo: int, absent: Sequence[str], rng: random.Random) -> list[Exchange]:
        """Some of what people might ask about a photo, as often to be answered with no as with yes. `absent`: what of
        `SALIENT` is not in it."""
        known = self.of[photo]
        true, other = ([one for one in known if (one.answer == "yes") == yes] for yes in (True, False))
        answered = {one.answer: one for one in rng.sample(other, len(other))}  # one of each answer
        chosen = rng.sample(true, min(2, len(true))) + [*answered.values()][:3]
        out = [(rng.choice(self.wordings[one]), one.answer) for one in chosen]
        return out + [
            (question, "no") for question in (self.not_there(photo, rng), self.without(photo, absent, rng)) if question
        ]

    def not_there(self, photo: int, rng: random.Random) -> str:
        """Asks whether something is there of which no caption says anything; "" if nothing is found to ask for."""
        tried = rng.choices(self.of_presence, k=TRIES)
        return next((rng.choice(questions) for one, questions in tried if not {*one.needed} & self.told[photo]), "")

    def without(self, photo: int, absent: Sequence[str], rng: random.Random) -> str:
        """A question that speaks of what is in the photo and of one thing that is not; "" if none is found."""
        for thing in rng.choices(absent, k=TRIES) if absent else ():
            fit = [
                one
                for one in self.lacking[thing]
                if len(one.needed) > 1 and {*one.needed} - {stem(thing)} <= self.shown[photo]
            ]
            if fit:
                return rng.choice(self.wordings[rng.choice(fit)])
        return ""

    def what_is(self, name: str, rng: random.Random) -> list[Exchange]:
        """A question that people answered with a thing's name, if there is one."""
        return [(rng.choice(self.naming[name]), name)] if name in self.naming else []

    def reworded(self, exchanges: list[Exchange], rng: random.Random) -> list[Exchange]:
        """Exchanges where half of the questions for a number are as somebody asked for it."""
        counts = (re.match(r"how many (\w+)", question) for question, _ in exchanges)
        known = [self.counting.get(found[1], []) if found else [] for found in counts]
        return [
            (rng.choice(ways) if ways and rng.random() < 0.5 else question, answer)
            for ways, (question, answer) in zip(known, exchanges, strict=True)
        ]
