"""Questions and short answers made from captions by rules, like COCO-QA: presence, colour, number, activity, place."""

import random
import re

from pipelines.chinese import article


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
COLOURED = words(
    "dog shirt jacket hat car dress ball shorts coat bike horse water helmet bird grass pants toy hair collar uniform cap "
    "building jersey jeans sweater sky frisbee sweatshirt slide vest skirt backpack surfboard flowers boat wall wetsuit "
    "fence shoes motorcycle bicycle swimsuit blanket scarf kayak umbrella bag bench hoodie chair truck tent"
)
PAIRED = words("shorts pants jeans flowers shoes")  # ask "are"
MANY = {"dogs", "people", "men", "women", "boys", "girls", "children"}
WHO = words("man woman boy girl child person dog")
DONE_TO = {  # what people do to things that captions name
    "wearing": words(
        "hat helmet sunglasses glasses jacket shirt dress shorts coat goggles uniform costume backpack scarf suit swimsuit "
        "jeans mask cap hoodie sweater vest gloves bikini skirt boots"
    ),
    "holding": words(
        "ball bat racket frisbee camera stick flag sign guitar baby cup phone umbrella surfboard skateboard microphone beer "
        "bottle book rope fish balloon flower toy bag snowboard football basketball paddle drink cigarette"
    ),
    "riding": words("bike bicycle horse skateboard wave scooter motorcycle surfboard swing bull unicycle"),
    "sitting on": words("bench chair couch rock step table bed wall fence floor sidewalk"),
}
# What people would hardly leave out of five captions, and with what words beside its own they may mean it.
SALIENT = dict.fromkeys(words(
    "dog cat bird cow sheep elephant duck guitar umbrella flag tent bridge fountain train bus balloon microphone kayak "
    "skateboard frisbee swing tunnel trampoline statue bench airplane tractor wheelchair"
), "") | {
    "horse": "rodeo|bull|cowboy|bronc|pony|jockey", "car": "vehicle|street|road|rac|traffic|parking", "truck": "vehicle|jeep|suv",
    "bike": "bicy|cycl|motor|bmx", "bicycle": "bik|cycl|bmx", "motorcycle": "bik|dirt|motor|rider|rac", "boat": "canoe|kayak|raft|sail|ship|paddl|row",
    "snowboard": "ski|snow", "surfboard": "surf|wave|board", "football": "ball|team|player", "basketball": "ball|team|player",
    "tennis racket": "tennis|rac", "couch": "sofa|seat|chair|bed", "bed": "couch|sleep|pillow|lying", "pool": "swim|water|div",
    "beach": "sand|shore|ocean|sea|wave|water|coast", "snow": "ski|sled|ice|icy|winter|white", "ocean": "sea|wave|surf|beach|water|shore",
    "mountain": "cliff|rock|hill|ski|climb|peak|canyon|snow|hik", "crowd": "people|spectator|fans|audience|group|watch|stadium",
    "baby": "infant|toddler|child|kid|little|young", "waterfall": "water|stream|river", "helmet": "rid|bik|motor|climb|football|hockey|ski|hat|bull|rac|player",
    "sunglasses": "glasses|goggles|shades", "camera": "photo|pictur|film|video|pos|tak", "stairs": "step|climb", "flowers": "garden|field|plant",
    "stick": "branch|wood|hockey|mouth", "ladder": "climb", "cake": "birthday|food|eat|party", "book": "read|paper|writ",
}  # fmt: skip
STILL = {*words("standing sitting lying sleeping kneeling")}
MOVING = {*words("running jumping walking riding swimming climbing skiing surfing skateboarding dancing")}
SPORTS = {  # how words of captions start, and the sport
    "surf": "surfing", "ski(?:ing|er|s)": "skiing", "snowboard": "snowboarding", "skateboard": "skateboarding",
    "soccer": "soccer", "football": "football", "basketball": "basketball", "baseball(?! [ch]a)": "baseball", "tennis(?! ball)": "tennis",
    "hockey": "hockey", "volleyball": "volleyball", "rugby": "rugby", "rock climb": "climbing", "cyclist": "biking",
    "frisbee": "frisbee", "wrestl": "wrestling", "gymnast": "gymnastics", "golf": "golf", "kayak": "kayaking",
    "motocross": "motocross", "karate": "karate",
}  # fmt: skip
ANIMALS = words("dog horse bird cat cow sheep elephant duck")
BEHIND = words("trees mountains buildings ocean water people crowd fence house city sky")
SOMEBODY = """person man men woman women boy boys girl girls child children kid kids baby toddler guy guys lady player players
rider biker cyclist skier skateboarder surfer climber""".split()
SOMEONE = "|".join(("people", "someone", "hand", "crowd", "human", "famil", *SOMEBODY))  # how words for people start
SEVERAL = "two|three|four|pair|group|both|other|another|several|many|some|bunch|herd|pack"
OUTSIDE = "outside|snow|grass|beach|ocean|lake|field|mountain|street|park|forest"
INSIDE = "inside|indoors?|room|kitchen|bed|couch|restaurant|bar"


def tidy(caption: str) -> str:
    """A caption as the model writes it: lower case, one space between words, no full stop at the end."""
    return re.sub(r"\s+", " ", caption.lower().replace('"', "")).strip(" .").replace(" ,", ",").replace(" '", "'")


def telling(said: list[str], pattern: str) -> int:
    """How many captions have a word that starts with `pattern`."""
    return sum(bool(re.search(rf"\b({pattern})", caption)) for caption in said)


def whether(thing: str, rng: random.Random, many: bool = False) -> str:
    """Asks whether a thing ("a dog", "dogs") is there, in one of the ways that people do. Yes and no must be asked for
    alike: else the answer is learnt from the wording."""
    be = "are" if many else "is"
    ask = rng.choice((f"{be} there", f"{be} there{' any' * many}", "do you see", "can you see"))
    return f"{ask} {thing}{rng.choice(('', '', ' in the photo', ' in the picture', ' here'))}?"


def counted(number: int, rng: random.Random) -> list[tuple[str, str]]:
    """What is asked where a detector counts so many people."""
    one = number == 1 or (number == 0 and rng.random() < 0.5)
    asked = whether("a person", rng) if one else whether("people", rng, many=True)
    asked_too = number or rng.random() < 0.3
    told = [(asked, "yes" if number else "no"), (how_many("people", rng), str(number))]
    return told[: 2 if asked_too else 1]


def how_many(thing: str, rng: random.Random) -> str:
    """Asks for the number of things ("dogs")."""
    return f"how many {thing} {rng.choice(('are there', 'are in the photo', 'are in the picture', 'do you see'))}?"


def either(asked: str, true: str, false: str, rng: random.Random) -> tuple[str, str]:
    """Asks which of two things is true ("is it day or night?"); the true one is as often first as second."""
    return f"{asked} {' or '.join(rng.sample((true, false), 2))}?", true


def inside_or_outside(inside: bool, rng: random.Random) -> tuple[str, str]:
    pair = rng.choice((("indoors", "outdoors"), ("inside", "outside")))
    true, false = pair if inside else pair[::-1]
    return either(rng.choice(("is it", "is this", "was this photo taken")), true, false, rng)


def dogs(captions: list[str]) -> int:
    """How many dogs a photo shows, as its captions say; 0 where they tell of none, don't agree or don't tell."""
    said = [*map(tidy, captions)]
    text = " . ".join(said)
    numbers = re.findall(rf"\b({'|'.join(NUMBERS)}) (?:\w+ ){{0,2}}dogs\b", text)
    if len(numbers) > 1 and len({*numbers}) == 1:
        return int(NUMBERS[numbers[0]])
    return int(telling(said, r"dog\b") > 2 and not re.search(rf"\b(dogs|{SEVERAL})\b", text))


def empty(captions: list[str]) -> bool:
    """Whether no caption of a photo tells of anybody."""
    return not telling([*map(tidy, captions)], SOMEONE)


def colours(noun: str, text: str) -> set[str]:
    """All that a thing is said to be: "a red and white shirt" has two."""
    if noun not in text:
        return set()  # a tenth of a training's time went into patterns
    return {*re.findall(rf"\b(?=({'|'.join(COLOURS)}) (?:and \w+ )?(?:\w+ )?{noun}\b)", text)}


def salient(captions: list[str]) -> tuple[list[str], list[str]]:
    """What of `SALIENT` is in the photo, as two captions say, and what is not, as none says anything like it."""
    said = [tidy(caption) for caption in captions]
    there = [thing for thing in SALIENT if telling(said, rf"{thing}s?\b") >= 2]
    like = {thing: "|".join(filter(None, (thing[:4], others))) for thing, others in SALIENT.items()}
    return there, [thing for thing in SALIENT if not telling(said, like[thing])]


def questions(captions: list[str], rng: random.Random) -> list[tuple[str, str]]:
    """Question–answer pairs that the captions of one photo support. Absence needs the silence of all of them."""
    said = [tidy(caption) for caption in captions]
    used = [word for caption in said for word in re.findall(r"[a-z]+", caption)]
    out = []
    present = [thing for thing in THINGS if telling(said, rf"{thing}\b") >= 2]
    absent = [thing for thing in THINGS if not any(thing.rstrip("s")[:4] in word for word in used)]
    if "people" in absent and any(word in PEOPLE and not word.startswith("dog") for word in used):
        absent.remove("people")
    for things, answer in ((present, "yes"), (absent, "no")):
        for thing in rng.sample(things, min(2, len(things))):
            a = "" if thing in MANY | {"trees", "water", "snow", "grass", "sand", "sunglasses"} else "a "
            out.append((whether(a + thing, rng, thing in MANY or thing == "trees"), answer))
    for noun in COLOURED:
        if len(found := colours(noun, " . ".join(said))) == 1:
            be = "are" if noun in PAIRED else "is"
            out.append((rng.choice([f"what color {be} the {noun}?", f"what colour {be} the {noun}?"]), found.pop()))
    for number, noun in set(
        re.findall(rf"\b({'|'.join(NUMBERS)}) (?:\w+ )?(dogs|people|men|women|boys|girls|children)\b", " . ".join(said))
    ):
        numbers = set(re.findall(rf"\b({'|'.join(NUMBERS)}) (?:\w+ )?{noun}", " . ".join(said)))
        if numbers == {number}:
            out.append((how_many(noun, rng), NUMBERS[number]))
    doing = {
        (who, verb)
        for caption in said
        for who, verb in re.findall(rf"\b(man|woman|boy|girl|dog|child|person) (?:is )?({'|'.join(VERBS)})\b", caption)
    }
    if doing:
        who, verb = rng.choice(sorted(doing))
        out.append((f"what is the {who} doing?", verb))
    where = [
        place for place in PLACES if telling(said, rf"(in|on|at|through|along|down|across) (the |a )?{place}\b") >= 2
    ]
    if where:
        out.append((rng.choice(["where is this?", "where was the photo taken?", "what place is this?"]), where[0]))
    whos = [who for who in ("dog", "man", "woman", "boy", "girl") if who in present]
    if len(whos) == 1:
        out.append((rng.choice(["what is in the photo?", "who is in the photo?", "what is this?"]), whos[0]))
    out += looked_for(said, present, rng)
    rng.shuffle(out)
    return out


def looked_for(said: list[str], present: list[str], rng: random.Random) -> list[tuple[str, str]]:
    """What people ask most about photos (VQA v2: wearing, holding, riding, sports, animals, ground, background, indoors), as
    far as the tidy captions `said` of one photo tell it and none tells otherwise."""
    out, text = [], " . ".join(said)

    subjects = [who for who in WHO if who in present and f"{who}s" not in text]
    if len(subjects) == 1:
        out += of_one(subjects[0], text, rng)
    sports = [sport for word, sport in SPORTS.items() if telling(said, word) >= 2]
    if len(sports) == 1:
        other = rng.choice([sport for sport in SPORTS.values() if sport[:4] not in text and sport not in sports])
        out.append((rng.choice(("what sport is this?", "what sport is being played?")), sports[0]))
        out.append(rng.choice([(f"is this {sports[0]}?", "yes"), (f"is this {other}?", "no")]))
    animals = [animal for animal in ANIMALS if telling(said, rf"{animal}s?\b")]
    if len(animals) == 1 and telling(said, animals[0]) >= 2:
        kind = rng.choice(("what animal", "what kind of animal", "what type of animal"))
        out.append((f"{kind} is {rng.choice(('this', 'shown', 'in the picture'))}?", animals[0]))
    grounds = [ground for ground in ("snow", "grass", "sand") if telling(said, ground) >= 2]
    if len(grounds) == 1:
        out.append(("what is on the ground?", grounds[0]))
        out.append(("is there snow on the ground?", "yes" if grounds[0] == "snow" else "no"))
        out += [("what season is it?", "winter"), ("what is the weather like?", "snowy")] * (grounds[0] == "snow")
    behind = {*re.findall(rf"\b({'|'.join(BEHIND)}) (?:are |is )?in the background", text)}
    if len(behind) == 1:
        out.append(("what is in the background?", *behind))
    outside, inside = telling(said, rf"({OUTSIDE})\b"), telling(said, rf"({INSIDE})\b")
    if max(outside, inside) >= 2 and not min(outside, inside):
        where, away = rng.choice((("outside", "inside"), ("outdoors", "indoors")))
        ask = rng.choice(("is this {}?", "was this photo taken {}?", "are they {}?"))
        place, true = rng.choice([(where, outside), (away, inside)])
        out += [(ask.format(place), "yes" if true else "no"), inside_or_outside(bool(inside), rng)]
    night = telling(said, "night|dark|evening|sunset|dusk")
    if night >= 2 or (outside >= 2 and not inside and not night):
        out.append((rng.choice(("is it day or night?", "is it day or night time?")), "night" if night else "day"))
    weather = [word for word in ("sunny", "cloudy", "rainy", "foggy") if telling(said, word)]
    if len(weather) == 1:
        out.append((rng.choice(("what is the weather like?", "how is the weather?")), weather[0]))
    return out


def of_one(who: str, text: str, rng: random.Random) -> list[tuple[str, str]]:
    """What the only person or dog of a photo wears, holds, rides and does."""
    out = []
    for verb, nouns in DONE_TO.items():
        found = sorted({*re.findall(rf"\b{verb} (?:\w+ ){{0,3}}?({'|'.join(nouns)})\b", text)})
        if found:
            noun, other = rng.choice(found), rng.choice([n for n in nouns if n[:4] not in text and n[-4:] not in text])
            out.append((f"what is the {who} {verb}?", noun))
            out += [(f"is the {who} {verb} {some(thing)}?", answer) for thing, answer in ((noun, "yes"), (other, "no"))]
    doing = {*re.findall(rf"\b{who} (?:is )?({'|'.join(STILL | MOVING)})\b", text)}
    for these, those in ((STILL, MOVING), (MOVING, STILL)):
        if doing and doing <= these:
            never = sorted(verb for verb in those if verb[:4] not in text)
            out.append((f"is the {who} {rng.choice(sorted(doing))}?", "yes"))
            out += [(f"is the {who} {rng.choice(never)}?", "no")] * bool(never)
            others = sorted(verb for verb in STILL | MOVING if verb[:4] not in text)
            it = "animal" if who == "dog" and rng.random() < 0.5 else who
            out.append(either(f"is the {it}", rng.choice(sorted(doing)), rng.choice(others), rng))
    if who == "dog" and len(dogs := colours("dog", text)) == 1:
        out.append(("what color is it?", dogs.pop()))
    if len(shirts := colours("shirt", text)) == 1:
        (colour,) = shirts
        other = rng.choice([one for one in COLOURS if one not in text])
        out.append((f"what color {rng.choice((f'shirt is the {who} wearing', 'is the shirt'))}?", colour))
        out.append(rng.choice([(f"is the {who}'s shirt {colour}?", "yes"), (f"is the shirt {other}?", "no")]))
    return out


def some(thing: str) -> str:
    return thing if thing == "snow" or many(thing) else article(thing)


def many(thing: str) -> bool:
    return thing.endswith("s") and not thing.endswith(("ss", "us"))


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
