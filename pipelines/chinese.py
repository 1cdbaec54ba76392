"""A Chinese prompt, or the Chinese words of one, in the plain English that a small model has learned: number, colour, thing,
place and ground."""

import functools
import re
from pathlib import Path

TRADITIONAL = Path(__file__).parent.parent / "assets" / "words" / "traditional.txt"
WORDS = ("", "a", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = {"": 1, "两": 2} | {sign: i for i, sign in enumerate("一二三四五六七八九十", 1)}
MANY = re.compile(r"(?:很多|许多|好多|几|一群|一堆)[只个条头]?")
MEASURES = "根个只条匹头辆架艘朵棵颗块座张把本杯碗片件顶幅位支枝瓶盒栋"
COLOURS = {
    "红": "red", "橙": "orange", "黄": "yellow", "绿": "green", "蓝": "blue", "白": "white", "紫": "purple", "粉": "pink",
    "粉红": "pink", "棕": "brown", "褐": "brown", "灰": "gray", "黑": "black",
}  # fmt: skip
LIGHT = ("blue", "green", "yellow", "gray")  # as grounds: the only ones but white and pink
PLACES = {"左": "to the left of", "右": "to the right of", "上": "above", "下": "below"}

_COLOUR = "|".join(sorted(COLOURS, key=len, reverse=True))
_SIDED = "(左|右|上|下)[边面方侧]"
_SIDE = f"{_SIDED}?"
_ABOUT = re.compile(r"[\s，。、！？,.!?“”]|的?(?:图片|照片|贴纸)$|可爱的?|漂亮的?|美丽的?|[吗吧呢][？?。！!]*$")
_DRAW = re.compile("^(?:请|我想要?|我要|能不能|能|可不可以|可以|你|帮我|给我)*(?:画(?:一下)?(?!板)|(?<=要))")
_GROUND = re.compile(rf"在?(?:(浅|淡)?({_COLOUR})色?)的?背景[上中里]?的?")
_PHRASE = re.compile(rf"(\d{{1,2}}|[{''.join(NUMBERS)}]?)([{MEASURES}]?)(?:({_COLOUR})色?的?)?(.+)")
_PLACED = re.compile(rf"(.+?)在(.+?)的?{_SIDE}")
_OF_SIDE = re.compile(rf"(.+?)的?{_SIDED}的(.+)")
_THERE = re.compile(rf"(.+?)的?{_SIDE}(?:是|有)(.+)")
_BEFORE = re.compile(rf"([{''.join(NUMBERS)}]?)[{MEASURES}]?(?:({_COLOUR})色?的?)?")
HAN = re.compile("[\u3400-\u9fff]+")
_JOINING = re.compile(
    r"(?:^|[^a-z\s]|\b(?:and|or|of|with|in|on|to|by|near|at|above|below|under|over|beside|behind))\s*$", re.IGNORECASE
)
_BESIDE = re.compile("和|与|跟|旁边是|旁边有")


@functools.cache
def _simple() -> dict[int, str]:
    lines = TRADITIONAL.read_text("utf-8").splitlines()[1:]
    return str.maketrans({pair[0]: pair[1] for line in lines for pair in line.split()})


def simplified(text: str) -> str:
    """`text` with simplified characters for traditional ones, of those that our words have."""
    return text.translate(_simple())


def english(prompt: str, names: dict[str, tuple[str, str]]) -> str:
    """`prompt` in English where all of it is understood, else as it is. `names`: what things are called, in Chinese, and in
    English one and many of them."""
    said = simplified(prompt)
    plain = _english(said, names)
    return plain if plain != said else prompt


def _english(prompt: str, names: dict[str, tuple[str, str]]) -> str:
    said = _ABOUT.sub("", prompt)
    ground = _GROUND.search(said)
    behind = ""
    if ground:
        said, colour = said.replace(ground.group(), ""), COLOURS[ground.group(2)]
        behind = f" on a {'light ' * (colour in LIGHT)}{colour} background"
    if match := _PLACED.fullmatch(said):
        parts, place = [match[1], match[2]], PLACES[match[3]]
    elif match := _OF_SIDE.fullmatch(said) or _THERE.fullmatch(said):
        parts, place = [match[3], match[1]], PLACES[match[2]]
    else:
        parts, place = [said] if said in names else _BESIDE.split(said), "and"
    if (alone := said.removesuffix("色")) in COLOURS:  # no thing, but what a negative prompt may be
        return COLOURS[alone] + behind
    things = [_thing(part, names) for part in parts]
    if all(things):
        return f" {place} ".join(things) + behind
    asked = prompt  # "画猫"; but "画笔" is a thing
    while (shorter := _DRAW.sub("", asked)) != asked and asked not in names:
        asked = shorter
    said = _english(asked, names) if asked != prompt else asked
    if said == asked and HAN.search(asked) and re.search("[a-z]", asked, re.IGNORECASE):
        said = _mixed(asked, names)
    return said if said != asked else prompt


def _mixed(prompt: str, names: dict[str, tuple[str, str]]) -> str:
    """A prompt in English with Chinese words in it: "一只red apple" is "a red apple"."""
    plurals = dict(names.values())

    def plain(found: re.Match[str]) -> str:
        before = prompt[: found.start()]
        if about := _BEFORE.fullmatch(found[0]):
            number, colour = about.groups()
            return f" {WORDS[NUMBERS[number]] if number else ''} {COLOURS.get(colour or '', '')} "
        said = _english(found[0], names)
        if not _JOINING.search(before):  # "a red 苹果"
            said = re.sub("^an? ", "", said)
            if before.split()[-1].lower() in WORDS[2:]:
                said = plurals.get(said, said)
        return f" {said} "

    said = " ".join(HAN.sub(plain, prompt).split())
    if HAN.search(said):
        return prompt
    return re.sub(r"\b(?:an? )+(?=(\w+))", lambda one: article(one[1].lower())[: -len(one[1])], said)


def _thing(said: str, names: dict[str, tuple[str, str]]) -> str:
    """A number of things of one kind, "" where that is not understood: "三只红色的猫" is "three red cats"."""
    said = MANY.sub("四", said)  # the most that are drawn
    match = _PHRASE.fullmatch(said)
    if not match:
        return ""
    number, measure, colour, name = match.groups()
    whole = said.removeprefix(number).removeprefix(measure)
    coloured = names.get(name)  # "红苹果" is an apple as "苹果" is: the colour is told
    if said in names and names[said] != coloured:  # "一" and "头" may be the start of a name
        number, colour, name = "", None, said
    elif whole in names and names[whole] != coloured:  # "红绿灯"
        colour, name = None, whole
    if (small := name.lstrip("小大")) != name:
        if name not in names and small not in names:
            return _thing(f"{number}{measure}{small}", names)  # "小白兔"
        if small in names and (name not in names or names[name][0].endswith(f" {names[small][0]}")):
            name = small  # a "whole cat" is a cat
    if name not in names:
        return ""
    count = int(number) if number.isdigit() else NUMBERS[number]
    words = " ".join(filter(None, (COLOURS.get(colour or ""), names[name][count > 1])))
    return article(words) if count == 1 else f"{WORDS[count] if count < len(WORDS) else count} {words}"


def article(words: str) -> str:
    """`words` with "a" or "an" before them, as in the captions that the model has learned."""
    return ("an " if words[0] in "aeiou" else "a ") + words
