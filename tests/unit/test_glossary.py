"""Chinese labels and questions for models that read English only."""

import re
import tomllib

import pytest

from pipelines import errors, glossary


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        ("猫", "cat"), ("红色的汽车", "red car"), ("两只狗", "two dogs"), ("三个孩子", "three children"), ("一杯咖啡", "cup of coffee"), ("白色的雪", "white snow"), ("大熊猫", "panda"),
        ("猫和狗", "cat and a dog"), ("桌子上的猫", "桌子上的猫"), ("巴黎", "巴黎"), ("a cat", "a cat"), ("", ""), ("黑猩猩", "chimpanzee"), ("一群羊", "一群羊"), ("0只猫", "0只猫"), ("cat猫", "cat猫"), ("白色", "white"), ("紅色的汽車", "red car"), ("臺北", "臺北"),
    ],
)  # fmt: skip
def test_a_label_is_in_english_or_as_it_is(said: str, plain: str) -> None:
    assert glossary.label(said) == plain


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        ("这是什么？", "what is this?"), ("这个东西是什么？", "what is this?"), ("请问图中有几只猫呢？", "how many cats are there?"), ("照片里有多少个红色的苹果", "how many red apples are there?"),
        ("苹果有几个？", "how many apples are there?"), ("有狗吗？", "is there a dog?"), ("有没有雪", "is there snow?"), ("有没有人？", "are there any people?"), ("这是一只猫吗？", "is this a cat?"),
        ("汽车是什么颜色的？", "what color is the car?"), ("它是什么颜色？", "what color is it?"), ("图中的人在做什么呢？", "what is the person doing?"), ("她在干嘛", "what is the woman doing?"),
        ("狗的左边是什么？", "what is to the left of the dog?"), ("男人手里拿着什么？", "what is the man holding?"), ("地上有什么？", "what is on the ground?"), ("狗在哪里？", "where is the dog?"),
        ("动物是什么？", "what animal is this?"), ("裤子是什么颜色", "what color are the pants?"), ("他们在做什么", "what are the people doing?"), ("这只猫是什么颜色", "what color is the cat?"),
        ("有几个男人和几个女人", ""), ("有几只猫在桌子上", ""), ("有很多人吗", ""), ("两只狗在做什么", ""), ("有多少雪", ""), ("白色是什么", ""), ("狗是什么", ""),
        ("为什么天是蓝的？", "为什么天是蓝的？"), ("有宇宙吗？", "有宇宙吗？"), ("這隻貓是什麼顏色？", "what color is the cat?"), ("照片裡有幾個人？", "how many people are there?"), ("為什麼？", "為什麼？"), ("牠在做甚麼？", "what is it doing?"), ("她穿著什麼？", "what is the woman wearing?"), ("What is this?", "What is this?"),
    ],
)  # fmt: skip
def test_a_question_is_in_english_or_as_it_is(said: str, plain: str) -> None:
    assert glossary.question(said) == (plain or said)


def test_an_answer_has_its_word_in_chinese_where_the_list_has_one() -> None:
    assert [glossary.back(one) for one in ("Cat", "dogs", "yes", "a red car", "2", "red")] == [
        "猫",
        "狗",
        "是",
        "",
        "",
        "红色",
    ]


def test_each_line_of_the_list_is_used_and_no_name_stands_twice() -> None:
    lines = [line for line in glossary.WORDS.read_text("utf-8").splitlines() if not line.startswith("#")]
    names = [name for line in lines for name in line.partition(" = ")[0].split()]
    assert len(names) == len({*names}) and all(
        re.fullmatch(r"\S.* = [a-z-]+( [a-z]+)*( / (-|[a-z ]+))?", line) for line in lines
    )
    assert all(glossary.label(name) != name for name in names if not re.search("[a-zA-Z]", name))


def test_what_the_chinese_page_proposes_is_understood() -> None:
    texts = tomllib.loads((errors.TEXTS / "zh.toml").read_text("utf-8"))
    english = tomllib.loads((errors.TEXTS / "en.toml").read_text("utf-8"))
    labels = texts["classify"]["first_labels"].split(", ")
    wanted = [re.sub("^an? ", "", one) for one in english["classify"]["first_labels"].split(", ")]
    assert [*map(glossary.label, labels)] == wanted
    for name, asked in texts["ask"]["examples"].items():
        assert glossary.question(asked) == english["ask"]["examples"][name].lower()
