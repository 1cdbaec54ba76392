"""Questions and short answers made from captions by rules, like COCO-QA: presence, colour, number, activity, place."""

import random
import re


def words(text: str) -> list[str]:
    return text.split()


COLOURS = ["black", "white", "brown", "red", "blue", "green", "yellow", "orange", "pink", "purple", "gray", "grey"]
NUMBERS = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6"}
PEOPLE = words("man woman boy girl child person dog people men women boys girls children dogs")
THINGS = words(
    "dog dogs man men woman women boy boys girl girls child children people ball bike bicycle car water snow "
    "grass beach street tree trees hat camera horse bird mountain rock skateboard surfboard guitar bench pool "
    "sand fence building boat toy frisbee sunglasses shirt jacket helmet crowd field"
)
PLACES = words(
    "street beach snow grass field water park pool mountain sand woods forest lake ocean river road sidewalk"
)
VERBS = words(
    "running jumping playing sitting standing walking riding swimming climbing holding looking smiling skiing "
    "surfing skateboarding sleeping dancing eating throwing catching swinging snowboarding kneeling talking "
    "laughing"
)
COLOURED = words("dog shirt jacket hat car dress ball shorts coat bike horse water helmet bird")
MANY = {"dogs", "people", "men", "women", "boys", "girls", "children"}


def tidy(caption: str) -> str:
    """A caption as the model writes it: lower case, one space between words, no full stop at the end."""
    return re.sub(r"\s+", " ", caption.lower().replace('"', "")).strip(" .").replace(" ,", ",").replace(" '", "'")


def whether(thing: str, rng: random.Random, many: bool = False) -> str:
    """Asks whether a thing ("a dog", "dogs") is there, in one of the ways that people do. Yes and no must be asked for
    alike: else the answer is learnt from the wording."""
    be = "are" if many else "is"
    ask = rng.choice((f"{be} there", f"{be} there", "do you see", "can you see"))
    return f"{ask} {thing}{rng.choice(('', '', ' in the photo', ' in the picture', ' here'))}?"


def questions(captions: list[str], rng: random.Random) -> list[tuple[str, str]]:
    """Question–answer pairs that the captions of one photo support. Absence needs the silence of all of them."""
    said = [tidy(caption) for caption in captions]
    used = [word for caption in said for word in re.findall(r"[a-z]+", caption)]
    out = []
    present = [thing for thing in THINGS if sum(bool(re.search(rf"\b{thing}\b", caption)) for caption in said) >= 2]
    absent = [thing for thing in THINGS if not any(thing.rstrip("s")[:4] in word for word in used)]
    if "people" in absent and any(word in PEOPLE and not word.startswith("dog") for word in used):
        absent.remove("people")
    for things, answer in ((present, "yes"), (absent, "no")):
        for thing in rng.sample(things, min(2, len(things))):
            a = "" if thing in MANY | {"trees", "water", "snow", "grass", "sand", "sunglasses"} else "a "
            out.append((whether(a + thing, rng, thing in MANY or thing == "trees"), answer))
    for colour, noun in set(
        re.findall(
            rf"\b({'|'.join(COLOURS)}) ({'|'.join(COLOURED)})\b",
            " . ".join(said),
        )
    ):
        others = {c for c in COLOURS if re.search(rf"\b{c} (and \w+ )?{noun}", " ".join(said))}
        if others == {colour}:
            be = "are" if noun == "shorts" else "is"
            out.append((rng.choice([f"what color {be} the {noun}?", f"what colour {be} the {noun}?"]), colour))
    for number, noun in set(
        re.findall(rf"\b({'|'.join(NUMBERS)}) (?:\w+ )?(dogs|people|men|women|boys|girls|children)\b", " . ".join(said))
    ):
        numbers = set(re.findall(rf"\b({'|'.join(NUMBERS)}) (?:\w+ )?{noun}", " . ".join(said)))
        if numbers == {number}:
            out.append(
                (rng.choice([f"how many {noun} are there?", f"how many {noun} are in the photo?"]), NUMBERS[number])
            )
    doing = {
        (who, verb)
        for caption in said
        for who, verb in re.findall(rf"\b(man|woman|boy|girl|dog|child|person) (?:is )?({'|'.join(VERBS)})\b", caption)
    }
    if doing:
        who, verb = rng.choice(sorted(doing))
        out.append((f"what is the {who} doing?", verb))
    where = [
        place
        for place in PLACES
        if sum(bool(re.search(rf"\b(in|on|at|through|along|down|across) (the |a )?{place}\b", c)) for c in said) >= 2
    ]
    if where:
        out.append((rng.choice(["where is this?", "where was the photo taken?", "what place is this?"]), where[0]))
    whos = [who for who in ("dog", "man", "woman", "boy", "girl") if who in present]
    if len(whos) == 1:
        out.append((rng.choice(["what is in the photo?", "who is in the photo?", "what is this?"]), whos[0]))
    rng.shuffle(out)
    return out


def follow_ups(captions: list[str], rng: random.Random) -> list[list[tuple[str, str]]]:
    """Conversations whose second question can only be understood from the first ("is there a dog?", "what color is it?")."""
    said = " . ".join(tidy(caption) for caption in captions)
    out = []
    for question, answer in questions(captions, rng):
        if found := re.fullmatch(r"what colou?r (is|are) the (\w+)\?", question):
            be, noun = found.groups()
            thing, it = (f"a {noun}", "it") if be == "is" else (noun, "they")
            out.append([(whether(thing, rng, be == "are"), "yes"), (f"what color {be} {it}?", answer)])
        elif found := re.match(r"how many (\w+) ", question):
            out.append([(whether(found[1], rng, many=True), "yes"), ("how many are there?", answer)])
        elif found := re.fullmatch(r"what is the (\w+) doing\?", question):
            it = {"man": "he", "boy": "he", "woman": "she", "girl": "she", "dog": "it"}.get(found[1], "the person")
            who = rng.choice(["who is in the photo?", "what is in the photo?", "what is this?"])
            start = (who, found[1]) if rng.random() < 0.5 else (whether(f"a {found[1]}", rng), "yes")
            if re.search(rf"\b{found[1]}\b", said):
                out.append([start, (f"what is {it} doing?", answer)])
    absent = [thing for thing in ("cat", "horse", "car", "boat", "bird", "bus") if thing not in said]
    return [
        *out[:2],
        *([(whether(f"a {rng.choice(absent)}", rng), "no")] for one in out[:2] if one[0][1] == "yes" and absent),
    ]
