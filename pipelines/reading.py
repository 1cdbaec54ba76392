"""A prompt as a model reads it: what a small one does not understand is left out or replaced, and the notes say so."""

import re
from collections.abc import Generator

from pipelines import inputs
from pipelines.errors import UserError, text
from pipelines.loaders import Loaded

# What a small model does not understand: more than four things of a kind, what is not to be there, and most of what stands
# between two things.
MANY = re.compile(
    r"\b(?:(?:five|six|seven|eight|nine|ten|eleven|twelve|dozens?|hundreds?)(?!-| pointed)|(?:[5-9]|\d{2,})(?=(?: \w+){0,2} (?!bus\b)\w+s\b))\b",
    re.IGNORECASE,
)
DENIED = re.compile(
    r"(?:(?<![\w-])(?:(?:without|with no|but no|but not|and not?|not|no)\b|0 (?=\w+s\b))|, no\b)(?! (?:entry|smoking|parking)\b)(?:(?! but (?!not?\b))[^,.;])*(?: but |[,.; ])*"
    "|(?:[，,、；]?(?:但是?)?不要|[，,、；](?:但是?)?(?:[没沒]有?|不[带帶含]))[^，,。；]*[，,。； ]*",
    re.IGNORECASE,
)
STYLE = re.compile(
    r",? ?\b(?:in (?:the )?(?:style of [^,.;]*|\w+ style)|(?:(?:highly|very|ultra|super|high|best|fine|extremely)[ -])*(?:quality|details?|detailed|resolution|realistic)"
    r"|(?:photo|hyper)[ -]?realis(?:tic|m)|masterpiece|award[ -]winning|(?:full )?u?hd|hdr|[248]k|(?:digital|concept|pixel|line|vector) art|(?:octane|3d) render(?:ing)?"
    r"|trending on \w+|cinematic(?: lighting)?|studio lighting|sharp focus|bokeh|depth of field|oil painting|water ?colou?r(?: painting)?|anime)\b(?: of)?",
    re.IGNORECASE,
)
ASKED = re.compile(  # "can you draw me a cat?"
    r"^(?:(?:please|(?:can|could|will|would) you|i(?:'d like| would like| want| need)(?: you)?(?: to)?) )*"
    r"(?:(?:draw|paint|make|create|generate|show|give|see|have)(?: me)? )?(?=(?:an?|the|some|one|two|three|four|\d+) )",
    re.IGNORECASE,
)
PLACED = re.compile(
    r"\b(?:in front of|in|inside|into|behind|between|around|through|against|outside|holding|wearing|eating|riding|with|near|by|on(?! top))\b"
    r"(?!(?: an?)?(?: \w+){0,2} background)",
    re.IGNORECASE,
)
VESSEL = re.compile(r"\b(?:cup|bowl|glass|mug)s?\b", re.IGNORECASE)  # in a name they say how much: "a cup of coffee"
SOME = 5  # words that a note quotes
MOST = 2  # things of different kinds


def read(loaded: Loaded, prompt: str) -> tuple[str, list[str]]:
    """The prompt in the words that a small model has learned, and notes on what is different."""
    if not loaded.learned:
        return prompt, [*_cut(loaded, prompt)]
    notes, prompt = [], ASKED.sub("", prompt)
    for what, pattern in (("denied", DENIED), ("styled", STYLE)):
        left_out = [one[0].strip(",.; ，。、；").removesuffix(" but") for one in pattern.finditer(prompt)]
        rest = re.sub(" +(?=[ ,])", "", pattern.sub(" ", prompt)).strip(" ,，")
        if left_out and rest:
            prompt = rest
            notes.append(text(f"notes.{what}", words=inputs.short(", ".join(left_out))))
        elif left_out and what == "denied":
            raise UserError("only_denied")
    found = loaded.learned.read(prompt, loaded.model.text_encoder, loaded.tokenizer)
    notes = [*_cut(loaded, found.said), *notes]
    if many := MANY.search(found.said):
        notes.append(text("notes.many", number=many[0]))
    if found.said != prompt:
        notes.append(text("notes.read_as", prompt=inputs.short(found.said, 120)))
    if found.people:
        notes.append(text("notes.no_people", words=inputs.short(", ".join(found.people))))
    if found.taken:
        names = ", ".join(f"{inputs.short(part)} → {name}" for part, name in found.taken[:SOME])
        notes.append(text("notes.taken_for", names=names))
    parts = [found.prompt[start:end].lower() for start, end in loaded.learned.parts(found.prompt)]
    if sum(part in loaded.learned.learned for part in parts) > MOST:
        notes.append(text("notes.crowded"))
    elif (
        (placed := PLACED.search(found.said))
        and not found.people
        and (len(parts) > 1 or VESSEL.search(found.said, placed.end()))
    ):
        notes.append(text("notes.placed", word=placed[0]))
    if found.strange:
        words = ", ".join(f"“{inputs.short(word)}”" for word in found.strange[:SOME])
        nearest = ", ".join(found.nearest)
        notes.append(text("notes.not_learned", words=words, things=loaded.learned.things, nearest=nearest))
    return found.prompt, notes


def _cut(loaded: Loaded, prompt: str) -> Generator[str, None, None]:
    """A note with the part of the prompt that the text encoder does not read."""
    tokenizer = loaded.tokenizer
    most = loaded.row.options.get("prompt_tokens") or tokenizer.model_max_length
    offsets = tokenizer(prompt, return_offsets_mapping=True, truncation=False)["offset_mapping"]
    words = [(start, end) for start, end in offsets if end > start]
    room = most - (len(offsets) - len(words))  # without the special tokens
    if len(words) > room:
        cut = prompt[words[room][0] :]
        yield text("notes.prompt_cut", cut=cut if len(cut) < 120 else f"{cut[:60]} … {cut[-40:]}")
