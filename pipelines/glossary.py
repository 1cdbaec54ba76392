"""Chinese labels and questions in plain English, as far as a list of words and the common ways to ask reach.

For models that read English only. What is not wholly understood stays as it is: no model is given half of it."""

import functools
import re
from pathlib import Path
from typing import NamedTuple

from pipelines.chinese import COLOURS, HAN, MANY, MEASURES, PLACES, article, english, simplified

WORDS = Path(__file__).parent.parent / "assets" / "words" / "zh.txt"
SAID = {
    "yes": "是",
    "no": "否",
    "nothing": "没有",
    "left": "左",
    "right": "右",
    "orange": "橙色、橙子",
}  # answers, before things
SOMEBODY = {  # what stands for whom or what, and whether that is several
    "它": ("it", False), "他": ("the man", False), "她": ("the woman", False), "他们": ("the people", True), "这些人": ("the people", True),
    "地": ("the ground", False), "地面": ("the ground", False),
}  # fmt: skip
FILLING = re.compile(
    r"[\s，。、！？,.!?~～]|请问|(?:在|这张|这幅|这个)?(?:照片|图片|图|画面|相片)(?:里面|中|里|上)的?"
    f"|[这那][{MEASURES}](?=[\u3400-\u9fff])|(?<=[么吗里儿样少])[呢啊呀](?=[？?。！!]*$)"
)
_N, _M, _WHAT, _WHERE = "(?P<n>.+?)", "(?P<m>.+?)", "(?:什么|啥)", "(?:哪里|哪儿|哪|什么地方)"
_HOW_MANY = f"(?:几|多少)[{MEASURES}位名群]?"
# How people ask, the narrower ways first. {a}: the thing as in "a cat", {the}: "the cat", {many}: "cats"; {is} and {this}
# as it wants them.
ASKED = [
    (f"[这那它]?[是有]些?{_WHAT}(?:东西)?|(?:东西|这)是{_WHAT}", "what is this?"),
    (f"你?能?看[到见]了?{_WHAT}", "what do you see?"),
    (f"[这那]?[是有]{_WHAT}动物|动物是{_WHAT}", "what animal is this?"),
    (f"[这它]?是{_WHAT}颜色的?", "what color is it?"),
    (f"这?是?在?{_WHERE}", "where is this?"),
    ("[这那他她人]是谁", "who is this?"),
    ("这?是?在?(?:室内还是(?:室外|户外)|室外还是室内)", "is it indoors or outdoors?"),
    ("现?在?是?(?:白天还是(?:晚上|黑夜|夜晚|夜里)|(?:晚上|夜晚)还是白天)", "is it day or night?"),
    ("[这他她]?是男[人的生]?还是女[人的生]?", "is this a man or a woman?"),
    ("天气(?:怎么样|怎样|如何|好吗)", "what is the weather like?"),
    (f"(?:现在|这)?是{_WHAT}季节", "what season is it?"),
    ("有没有人|有人[吗么]", "are there any people?"),
    (f"左[边面][是有]{_WHAT}", "what is on the left?"),
    (f"右[边面][是有]{_WHAT}", "what is on the right?"),
    (f"(?:一共|总共)?有{_HOW_MANY}{_N}|{_M}有{_HOW_MANY}", "how many {many} are there?"),
    (f"有没有{_N}|有{_M}[吗么]", "{is} there {a}?"),
    (f"[这那它他她]?是(?:一?[{MEASURES}位])?{_N}[吗么]|[这那它他她]是不是{_M}", "{this} {a}?"),
    (f"{_N}(?:的颜色是{_WHAT}(?:颜色)?|是{_WHAT}颜色)的?", "what color {is} {the}?"),
    (f"{_N}(?:正)?在[做干](?:什么|啥|嘛)", "what {is} {the} doing?"),
    (f"{_N}在{_WHERE}", "where {is} {the}?"),
    (f"{_N}(?:身上)?[穿戴][着了]?(?:的是)?什么(?:衣服)?", "what {is} {the} wearing?"),
    (f"{_N}(?:手里)?[拿举抱][着了]?(?:的是)?{_WHAT}", "what {is} {the} holding?"),
    (f"{_N}上面?有{_WHAT}", "what is on {the}?"),
    (f"{_N}里面?有{_WHAT}", "what is in {the}?"),
    (f"{_N}的?(?P<place>[左右上下])[边面方侧][是有]{_WHAT}", "what is {place} {the}?"),
]  # fmt: skip


class _Words(NamedTuple):
    """Of the list: one and several of a thing in English by its Chinese names; which have no plural; and back, a Chinese name
    by the English."""

    names: dict[str, tuple[str, str]]
    uncounted: set[str]
    back: dict[str, str]


@functools.cache
def _words() -> _Words:
    found = _Words(
        {}, set(), {plain: f"{colour}色" for colour, plain in reversed(COLOURS.items()) if len(colour) == 1} | SAID
    )
    for line in WORDS.read_text("utf-8").splitlines():
        said, _, plain = line.partition(" = ")
        if line.startswith("#"):
            continue
        one, _, many = plain.partition(" / ")
        if many == "-":
            found.uncounted.add(one)
        many = one if many == "-" else many or _plural(one)
        for name in said.split():
            found.names[name] = one, many
            for form in (one, many):
                found.back.setdefault(form, name)
    return found


def _plural(word: str) -> str:
    if re.search("(?:[sx]|[cs]h)$", word):
        return f"{word}es"
    return f"{word[:-1]}ies" if re.search("[^aeiou]y$", word) else f"{word}s"


def label(said: str) -> str:
    """A label in English without an article ("red car"), or as it is."""
    return re.sub("^an? ", "", _thing(simplified(said))) or said


def question(said: str) -> str:
    """A question in English, or as it is."""
    if HAN.search(said):
        bare = FILLING.sub("", simplified(said))
        for pattern, asked in ASKED:
            found = re.fullmatch(pattern, bare)
            if found and (plain := _filled(asked, found.groupdict())):
                return plain
    return said


def back(answer: str) -> str:
    """The Chinese for an English answer that is one word of the list; "" for any other."""
    return _words().back.get(answer.lower().strip(" ."), "")


def _filled(asked: str, found: dict[str, str | None]) -> str:
    """The question about one thing, perhaps of a colour; "" where it is about anything else."""
    if "{" not in asked:
        return asked
    words, name = _words(), found.get("n") or found.get("m") or ""
    plurals = dict(words.names.values())
    one = label(name)
    colour, _, thing = one.rpartition(" ")
    if one not in plurals and (thing not in plurals or colour not in COLOURS.values()):
        if name not in SOMEBODY or "{a}" in asked or "{many}" in asked:
            return ""
        the, several = SOMEBODY[name]
        counted = False
    else:
        thing = one if one in plurals else thing
        counted = thing not in words.uncounted
        the, several = f"the {one}", not counted and thing.endswith("s") and thing != "grass"
    if "{many}" in asked and not (counted or several):
        return ""  # how much
    many = one.removesuffix(thing) + plurals.get(thing, "")
    place = PLACES.get(found.get("place") or "", "")
    verb, this = ("are", "are these") if several else ("is", "is this")
    return asked.format(a=article(one) if counted else one, the=the, many=many, place=place, this=this, **{"is": verb})


@functools.cache
def _article() -> re.Pattern[str]:
    """An article before what has none: "a white snow"."""
    return re.compile(rf"\ban? ((?:\w+ )?(?:{'|'.join(map(re.escape, _words().uncounted))}))\b")


def _thing(said: str) -> str:
    """Chinese words for a thing, or for some, in English with an article; "" where they are not understood."""
    names = _words().names
    if not HAN.search(said) or MANY.search(said) or (re.search("[a-z]|^0", said, re.IGNORECASE) and said not in names):
        return ""
    plain = english(said, names)
    return "" if HAN.search(plain) else _article().sub(r"\1", plain)
