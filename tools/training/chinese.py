"""What the brush's things are called in Chinese, from emojibase's labels and tags of the same emoji (MIT)."""

import itertools
import json
import re
from collections import Counter

from tools.training import packages
from tools.training.kinds import GENERAL
from tools.training.stickers import Art, plural

ALSO = {  # words that people use, which are labels of nothing or of something else
    "树": "tree", "大树": "tree", "樹": "tree", "车": "car", "車": "car", "火车": "locomotive", "火車": "locomotive", "书": "book",
    "書": "book", "帽子": "top hat", "月亮": "moon", "咖啡": "coffee", "蛋糕": "cake", "山": "mountain", "沙发": "sofa", "雪人": "snowman",
    "笑脸": "smiley", "鞋子": "sneaker", "钟": "clock", "爱心": "heart", "星": "star", "老鹰": "eagle", "电脑": "laptop", "猫咪": "cat",
    "汉堡包": "hamburger", "苹果": "apple", "蘋果": "apple", "狗": "dog", "猫": "cat", "貓": "cat", "马": "horse", "馬": "horse", "牛": "cow",
    "猪": "pig", "羊": "sheep", "橙子": "orange", "鞋": "sneaker", "球": "ball", "伞": "umbrella", "动物": "animal", "動物": "animal",
    "宠物": "pet", "寵物": "pet", "昆虫": "insect", "昆蟲": "insect", "水果": "fruit", "蔬菜": "vegetable", "食物": "food", "甜点": "dessert",
    "甜點": "dessert", "饮料": "drink", "飲料": "drink", "花": "flower", "植物": "plant", "交通工具": "vehicle", "建筑": "building",
    "建築": "building", "乐器": "instrument", "樂器": "instrument", "玩具": "toy", "怪物": "monster", "怪兽": "monster", "怪獸": "monster",
}  # fmt: skip


def names(art: Art) -> dict[str, tuple[str, str]]:
    """One and many of a thing in English, by each of its names in Chinese: its label, without "face" and "head", and the
    tags that no other thing has."""
    folder = packages.npm("emojibase-data")
    codes = {
        re.sub(r"[’.]", "", one["label"].lower()).replace(" ", "-"): one["hexcode"]
        for one in json.loads((folder / "en" / "data.json").read_text("utf-8"))
    }
    found: dict[str, tuple[str, str]] = {}
    for language in ("zh", "zh-hant"):
        said = {one["hexcode"]: one for one in json.loads((folder / language / "data.json").read_text("utf-8"))}
        chosen = {icon: said[codes[icon]] for icon in [*art.common, *art.names] if icon in codes}
        tags = Counter(itertools.chain(*({one["label"], *one.get("tags", ())} for one in chosen.values())))
        for rare in (False, True):  # labels first
            for icon, one in chosen.items():
                short = min(art.names[icon], key=len)
                words = [t for t in one.get("tags", ()) if tags[t] == 1] if rare else _short(one["label"])
                for word in words:
                    found.setdefault(word, (short, plural(short)))
    known = {*itertools.chain(*art.names.values()), *GENERAL}
    return found | {word: (name, plural(name)) for word, name in ALSO.items() if name in known}


def _short(label: str) -> list[str]:
    """The label, and without the face or the head that it may end with: "老虎头" is a tiger."""
    return [label, short] if len(short := re.sub("[脸臉头頭]$", "", label)) < len(label) and short else [label]
