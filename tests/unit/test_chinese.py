"""Chinese prompts in the words of a small model."""

import pytest

from pipelines.chinese import english

NAMES = {
    "猫": ("cat", "cats"), "狗": ("dog", "dogs"), "树": ("tree", "trees"), "红苹果": ("apple", "apples"),
    "苹果": ("apple", "apples"), "和平": ("dove", "doves"), "灯": ("lamp", "lamps"), "红绿灯": ("traffic light", "traffic lights"), "绿灯": ("go", "go"),
    "大象": ("elephant", "elephants"), "小提琴": ("violin", "violins"), "画笔": ("paintbrush", "paintbrushes"), "头骨": ("skull", "skulls"), "小猫": ("whole cat", "whole cats"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("一只猫", "a cat"), ("猫", "a cat"), ("两只红色的猫", "two red cats"), ("四隻貓", "four cats"), ("一头大象", "an elephant"),
        ("一个红苹果", "a red apple"), ("红苹果", "a red apple"), ("一个苹果", "an apple"), ("五只猫", "five cats"), ("画五只猫", "five cats"), ("白猫", "a white cat"), ("猫和狗和树", "a cat and a dog and a tree"), ("很多狗", "four dogs"), ("几只狗", "four dogs"), ("12只猫", "12 cats"), ("和平", "a dove"), ("3只猫", "three cats"), ("女", "女"), ("红绿灯", "a traffic light"), ("可爱的小狗", "a dog"), ("画一只猫。", "a cat"), ("请帮我画猫", "a cat"), ("画笔", "a paintbrush"), ("头骨", "a skull"),
        ("一把小提琴", "a violin"), ("猫在树的左边", "a cat to the left of a tree"), ("树的上面有一只猫", "a cat above a tree"),
        ("一只猫和一只狗", "a cat and a dog"), ("粉色背景上的一只黑猫", "a black cat on a pink background"),
        ("一只猫,浅蓝色的背景", "a cat on a light blue background"), ("红色", "red"),
        ("小猫", "a cat"), ("三只小猫", "three cats"), ("一只小白猫", "a white cat"), ("我想画一只猫", "a cat"), ("能画一只蓝色的狗吗？", "a blue dog"), ("可以帮我画两只猫吗", "two cats"),
        ("画一只red apple", "a red apple"), ("蓝色的car", "blue car"), ("a 红色的 car", "a red car"), ("a red 苹果", "a red apple"), ("一只猫 and a dog", "a cat and a dog"), ("两只blue cats", "two blue cats"), ("a cute 小猫", "a cute cat"), ("an 蓝色的 car", "a blue car"), ("two 猫", "two cats"), ("猫 with 狗", "a cat with a dog"), ("我要一只猫", "a cat"), ("請幫我畫兩隻紅色的貓", "two red cats"), ("貓在樹的左邊", "a cat to the left of a tree"), ("树左边的猫", "a cat to the left of a tree"),
    ],
)  # fmt: skip
def test_numbers_colours_places_and_grounds_are_understood(prompt: str, said: str) -> None:
    assert english(prompt, NAMES) == said


@pytest.mark.parametrize(
    "prompt", ["a cat", "", "巴黎的夜晚", "一只戴帽子的猫", "猫 a 巴黎 cat", "戴帽子的貓", "女", "女孩", "背景"]
)
def test_what_is_not_wholly_understood_stays_as_it_is(prompt: str) -> None:
    assert english(prompt, NAMES) == prompt


@pytest.mark.parametrize("word", ["画", "帮我画", "请画一下"])
def test_who_asks_a_thousand_times_is_understood_once(word: str) -> None:
    assert english(word * 600 + "一只猫", NAMES) == "a cat"
