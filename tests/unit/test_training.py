"""What the trainings ask of the models, on things small enough to check by hand."""

import functools
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL.Image import Image, fromarray
from tokenizers import Tokenizer

from pipelines.catalog import model_folder
from tools.training import (
    aids,
    detector,
    dreams,
    elsewhere,
    features,
    ground_head,
    portraits,
    precision,
    priors,
    room_answers,
    things,
    words,
)
from tools.training.blend import blend
from tools.training.detector import Found, covers, people, within
from tools.training.features import LOWER_BLOCKS, Cut, moved, upper
from tools.training.halves import Halves
from tools.training.paired import Paired, stem
from tools.training.reward_vlm import named
from tools.training.scenes import Scene as Seen
from tools.training.stickers import WAYS, Art, Sampler, Scene, Thing, nearest_paint
from tools.training.synthetic import colours, counted, dogs, looked_for, salient
from tools.training.train_brush import around_edges, asked, seams
from tools.training.train_clip import grown, opened, reader
from tools.training.train_vlm import CELLS, NOTHING, Look, Looks, colourless, encode, pack

TOKENIZER = Tokenizer.from_file("assets/models/quartet-vlm/tokenizer.json")
START = "<assistant>"
BOX = (0.0, 0.0, 0.5, 1.0)  # the left half


def test_prompts_of_the_brush_are_captions_some_empty_and_some_no_more_than_a_colour() -> None:
    rng, own = random.Random(0), {"cat-face": "orange"}.__getitem__
    scene = Scene((Thing("cat-face", "cat", "red"),), "light blue")
    said = [asked(scene, own, rng) for _ in range(400)]
    assert 20 < said.count("") < 60
    assert said.count("red") and said.count("light blue background")
    assert sum("red cat" in words for words in said) > 300
    assert "orange" in {asked(Scene((Thing("cat-face", "cat"),)), own, rng) for _ in range(400)}


def test_questions_of_other_photos_are_asked_where_captions_answer_them() -> None:
    asked = [
        {"question": "Is the dog running?", "answers": ["no"] * 10},
        {"question": "What is the dog carrying?", "answers": ["stick"] * 8 + ["toy"] * 2},
        {"question": "What color is the dog?", "answers": ["brown"] * 10},
        {"question": "What is the cat riding?", "answers": ["train"] * 10},
        {"question": "Is there a bus?", "answers": ["yes"] * 10},
        {"question": "Is the dog in a car?", "answers": ["yes"] * 10},
        {"question": "Why is the dog running?", "answers": ["play"] * 10},
        {"question": "How many dogs are there?", "answers": ["3"] * 10},
        {"question": "How many dogs are asleep?", "answers": ["3"] * 10},
    ]
    dog = ["a brown dog runs with a stick", "a dog running, carrying sticks", "a brown dog carries a stick"]
    photos = dict.fromkeys(range(10), dog) | {10 + i: ["a bus on a road", "a bus drives"] for i in range(10)}
    paired, rng = Paired(asked, photos), random.Random(0)
    told = {exchange for _ in range(40) for exchange in paired.about(0, ["car"], rng)}
    assert told == {
        ("is the dog running?", "yes"), ("what is the dog carrying?", "stick"), ("what color is the dog?", "brown"),
        ("is there a bus?", "no"), ("is the dog in a car?", "no"),
    }  # fmt: skip
    assert paired.what_is("train", rng) == [("what is the cat riding?", "train")] and not paired.what_is("cat", rng)
    ways = {paired.reworded([("how many dogs do you see?", "2")], rng)[0] for _ in range(20)}
    assert ways == {("how many dogs do you see?", "2"), ("how many dogs are there?", "2")}
    assert stem("riding") == stem("rides") != stem("rider") and stem("men") == "man"


def test_questions_made_of_captions_have_the_answers_that_the_captions_give() -> None:
    said = [
        "a man wearing a red shirt is holding a ball",
        "a man with a tennis ball stands in the snow",
        "a man in snow",
    ]
    made = {exchange for seed in range(40) for exchange in looked_for(said, ["man"], random.Random(seed))}
    assert ("what is the man holding?", "ball") in made and ("what color is the shirt?", "red") in made
    assert ("what is on the ground?", "snow") in made and ("are they indoors?", "no") in made
    assert not {question for question, _ in made if question.startswith(("what sport", "what animal"))}
    told = {"ball?", "ground?", "red?", "shirt?", "outside?", "outdoors?"}
    whether = {(question, answer) for question, answer in made if question.startswith(("is", "are"))}
    assert {answer for one, answer in whether if " or " not in one and one.split()[-1] in told} == {"yes"}
    chosen = {
        (" ".join(sorted(one[:-1].split()[-3:])), answer)
        for one, answer in made
        if "side or " in one or "doors or " in one
    }
    assert chosen == {("inside or outside", "outside"), ("indoors or outdoors", "outdoors")}
    assert sum(answer == "no" for _, answer in made) > 3


def test_dogs_are_counted_where_captions_agree() -> None:
    assert (
        dogs(["Two brown dogs run", "two dogs", "dogs play"]) == 2
        and dogs(["two dogs", "three small dogs", "dogs"]) == 0
    )
    assert (
        dogs(["a dog runs", "A brown dog", "the dog"]) == 1 and dogs(["a dog runs", "a dog", "a dog and another"]) == 0
    )
    assert dogs(["a man", "two men", "a man and his dog"]) == 0


def test_a_colour_in_a_shirt_that_has_two_is_not_asked_for() -> None:
    assert colours("shirt", "a man in a red and white shirt . a man in a shirt") == {"red", "white"}
    assert colours("shirt", "a blue soccer shirt and green shoes") == {"blue"}


def test_what_only_one_caption_names_is_neither_there_nor_absent() -> None:
    captions = ["A man on a horse .", "a horse jumps", "A rodeo rider .", "a man in a hat by a tent", "a rider"]
    there, absent = salient(captions)
    assert there == ["horse"] and {"cat", "bus"} <= {*absent} and not {"horse", "tent"} & {*absent}


def test_captions_of_a_dog_are_retold_of_another_animal_with_its_article() -> None:
    said = dreams.of_a_dog(["A dog runs .", "a black dog and an old dog", "Two dogs", "a poodle with a dog"])
    told = [dreams.of_another(one, "elephant") for one in said]
    assert told == ["an elephant runs", "a black elephant and an old elephant", "two elephants"]
    assert not dreams.of_a_dog(["A dog runs .", "a black dog", "a brown animal"])


def test_of_a_photo_in_black_and_white_no_colour_is_told() -> None:
    assert not colourless([("describe the photo", "a dog and a brown cat")]) and colourless(
        [("how many?", "2"), ("a dog?", "yes")]
    )
    assert not colourless([("is there a dog?", "yes"), ("what color is it?", "tan")])
    assert [features.grey(i) for i in range(features.GREY + 1)].count(True) == 2


def test_no_dream_begins_with_a_photo_of_somebody_or_with_one_kept_out(tmp_path: Path) -> None:
    def told(split: str, *captions: str) -> dict[str, object]:
        return {"image": "", "split": split, "captions": captions}

    flickr = [
        told("train", "A man by a lake"),
        told("train", "a lake"),
        told("dev", "a lake"),
        told("train", *["a dog"] * 3),
    ]
    land = [{"image": f"{i:02}", "label": "street" if i == 12 else "sea"} for i in range(15)]
    for name, file, rows in (("flickr8k", "captions", flickr), ("intel_scenes", "labels", land), ("daquar", "", [])):
        (tmp_path / name / "images").mkdir(parents=True)
        (tmp_path / name / f"{file}.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    for name, count in (("intel_scenes", 15), ("daquar", features.HELD_DAQUAR + 2)):
        for i in range(count):
            (tmp_path / name / "images" / f"{i:03}"[name == "intel_scenes" :]).touch()
    known = dreams.bases(tmp_path)
    assert known["flickr8k"] == [1, 3] and known["dogs"] == [3] and known["daquar"] == [0, 1]
    assert known["intel_scenes"] == [*range(1, 10), 11, 13, 14]


def test_two_dogs_are_two_halves_with_one_each_and_one_is_beside_a_half_without() -> None:
    photos = np.zeros((4, *features.HALFWAY), np.float16)
    photos[0, :, :, :7], photos[1, :, :, 7:] = 1, 1
    photos[2:] = 9
    found = {
        i: [Found("dog", 0.9, (left, 0.2, left + 0.5, 0.8)), Found("cat", 0.9, BOX)] for i, left in ((0, 0.0), (1, 0.5))
    }
    found |= {2: [Found("dog", 0.9, (0.2, 0, 0.9, 1))], 3: [Found("dog", 0.4, BOX)]}  # too wide, doubtful
    halves, rng = Halves(photos, found, "dog"), random.Random(0)
    assert {*halves.full} == {(0, 0), (1, 7)} and {*halves.empty} == {(0, 7), (1, 0)}
    one, two = ([halves.pair(count, rng) for _ in range(20)] for count in (1, 2))
    assert all(each.shape == features.HALFWAY and each.mean() == 1 for each in two)
    assert all(each.mean() == 0.5 for each in one) and len({float(each[0, 0, 0]) for each in one}) == 2


def test_of_a_dream_that_began_with_a_dog_it_is_asked_what_the_dog_was_and_of_others_only_where_they_are() -> None:
    captions = ["A brown dog is running in the snow .", "a brown dog runs in snow", "A brown dog in the snow"]
    asked = [dict(dreams.asked(captions, "cat", dog, random.Random(i))) for i in range(9) for dog in (True, False)]
    animal = {question: answer for one in asked[::2] for question, answer in one.items()}
    said = {"what color is it?": "brown", "what is the cat doing?": "running"}
    assert said.items() <= animal.items() and not any("dog" in question for question in animal)
    assert not any(question.startswith("is there a cat") and answer == "no" for question, answer in animal.items())
    place = {question: answer for one in asked[1::2] for question, answer in one.items()}
    assert place["what is the weather like?"] == "snowy" and not any("dog" in question for question in place)


def test_a_blend_is_the_mean_of_weights_by_their_shares() -> None:
    low, high = ({"w": torch.full((2,), value), "n": torch.tensor(3)} for value in (1.0, 4.0))
    found = blend([(low, 1), (high, 2)])
    assert found["w"].tolist() == [3.0, 3.0] and found["n"] == 3


def test_rooms_are_asked_their_own_questions_and_others_and_a_teacher_that_knew_them_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "answers.npz"
    monkeypatch.setattr(room_answers, "FILE", file)
    table = np.full((1 + room_answers.DRAWN, 30, 3), -1, np.int16)
    table[:, :28, :2] = 1
    np.savez_compressed(file, words=np.array(["bed", "lamp"]), table=table)
    rooms = room_answers.Rooms([(n % 2, f"what is {n}?", "bed") for n in range(28)] + [(2, "what?", "sofa")] * 2)
    told = [rooms.talks(0, random.Random(seed)) for seed in range(20)]
    own = [answer for one in told for question, answer in one if int(question[8:-1]) % 2 == 0]
    others = {answer for one in told for question, answer in one if int(question[8:-1]) % 2}
    assert {len(one) for one in told} == {room_answers.QUESTIONS} and others == {"lamp"}
    assert 0.1 < own.count("bed") / len(own) < 0.5


def test_a_room_is_captioned_with_what_its_questions_name_and_no_more() -> None:
    asked = [("what is left of the bed?", "night stand"), ("what is on the wall?", "picture, mirror")]
    lonely = [("what is on the wall?", "mirror")]
    (bedroom,) = elsewhere.rooms({3: asked, 5: lonely, 8: [("what is behind the chair?", "table")]})
    assert (bedroom.number, bedroom.place) == (3, "bedroom")
    words = {*" ".join(bedroom.captions).replace(",", "").split()}
    assert "bedroom" in words
    assert words <= {*"a and in it has with the bedroom bed nightstand mirror picture on wall".split()}
    questions = {exchange for seed in range(30) for exchange in bedroom.questions(random.Random(seed))}
    assert {("what room is this?", "bedroom"), ("is this indoors?", "yes"), ("is it outside?", "no")} <= questions


def test_a_landscape_is_captioned_where_a_detector_is_sure_that_nobody_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = [[], [Found("person", 0.9, BOX)], [Found("person", 0.4, BOX)], [Found("person", 0.9, BOX)]]
    monkeypatch.setattr(detector, "found", lambda data, dataset: seen)
    monkeypatch.setattr(features, "labels", lambda data, dataset: ["forest", "forest", "street", "street"])
    told = elsewhere.labelled(Path(), "any")
    assert [(photo.number, photo.place) for photo in told] == [(0, "woods"), (3, "street")]
    assert "people" in " ".join(told[1].captions) and "people" not in " ".join(told[0].captions)


def test_a_portrait_is_of_whom_captions_agree_on_in_what_they_wear() -> None:
    said = [
        "A man in a red shirt and a hat smiles .",
        "The man is smiling .",
        "A guy with dark hair runs with his dog .",
    ]
    assert portraits.who(said) == "man" and portraits.who([*said[:2], "A woman runs ."]) == ""
    told = {one for seed in range(30) for one in portraits.described("man", said, random.Random(seed))}
    assert {"a man wearing a red shirt", "a man with dark hair", "a smiling man", "a close up of a man"} <= told
    assert not [one for one in told if "dog" in one or "runs" in one]
    asked = {
        exchange for seed in range(30) for exchange in portraits.Portrait("man", []).questions(random.Random(seed))
    }
    assert {("is this a man or a woman?", "man"), ("is there a man?", "yes"), ("is there a woman?", "no")} <= asked


def test_a_portrait_is_cut_around_the_head_of_one_who_is_alone_and_near() -> None:
    near, far = Found("person", 0.9, (0.4, 0.2, 0.6, 0.9)), Found("person", 0.9, (0.4, 0.2, 0.5, 0.5))
    assert [portraits.alone(things) for things in ([near], [near, far], [far], [])] == [near, None, None, None]
    for seed in range(30):
        left, top, right, low = portraits.head(near.box, random.Random(seed))
        assert 0 <= left < 0.5 < right <= 1 and 0 <= top <= 0.2 < low < 0.9 and right - left == pytest.approx(low - top)


def test_a_thing_is_cut_out_whole_where_it_is_the_only_one_of_its_kind_and_nobody_is_in_front() -> None:
    chair, far = Found("chair", 0.9, (0.4, 0.4, 0.6, 0.8)), Found("chair", 0.9, (0.0, 0.0, 0.05, 0.1))
    beside, sitter = Found("chair", 0.9, (0.55, 0.4, 0.7, 0.8)), Found("person", 0.9, (0.4, 0.3, 0.6, 0.7))
    for seed in range(30):
        left, top, right, low = part = things.around(chair.box, random.Random(seed))
        assert 0 <= left <= 0.4 < 0.6 <= right <= 1 and 0 <= top < low <= 1 and right - left == pytest.approx(low - top)
        assert things.alone(chair, part, [chair, far]) and not things.alone(chair, part, [chair, sitter])
        assert not things.alone(chair, part, [chair, beside])


def test_a_thing_is_called_as_people_call_it_with_the_colour_that_they_tell() -> None:
    told = {one for seed in range(30) for one in things.described("television", "red", random.Random(seed))}
    assert {"a red television", "a close up of a red television", "a television", "a photo of a television"} <= told
    asked = [one for seed in range(30) for one in things.Closeup("tv", [], "red").questions(random.Random(seed))]
    assert {("what is this?", "tv"), ("what color is the tv?", "red"), ("is there a tv?", "yes")} <= {*asked}
    assert not [question for question, answer in asked if answer == "no" and "tv" in question]


def test_a_rare_name_is_drawn_oftener_than_it_occurs_and_told_from_names_that_no_cut_has() -> None:
    embedded = {"bed": [1.0, 0.0], "couch": [0.0, 1.0], "lamp": [0.6, 0.8]}
    said = lambda lines: torch.tensor([next(v for k, v in embedded.items() if k in line) for line in lines])  # noqa: E731
    seen = torch.tensor([[1.0, 0.0]] * 9 + [[0.0, 1.0]])
    names = ground_head.Names((seen, ["bed"] * 9 + ["couch"]), said, ["lamp"])
    assert names.labels.shape == (3, 2) and names.right(lambda given: given) == 1.0
    assert 1 < float(names.weight[:9].sum() / names.weight[9]) < 9
    right, wrong = names.loss(lambda given: given, 64), names.loss(lambda given: given.flip(1), 64)
    assert right < wrong


def test_what_is_said_of_a_photo_is_turned_for_its_mirror_image() -> None:
    assert room_answers.mirrored([("what is left of the right bed?", "the left lamp")]) == [
        ("what is right of the left bed?", "the right lamp")
    ]
    halfway = torch.arange(14.0).expand(1, 120, 14, 14)
    seen = torch.cat([moved(halfway, random.Random(seed), mirror=False) for seed in range(8)])
    assert (seen[..., 0] < seen[..., -1]).all()


def test_questions_that_nobody_asked_are_put_together_from_those_that_were() -> None:
    asked = ["is the red dog here?", "where is the red cat?", "is the red cat asleep?"]
    made = priors.unasked(asked, 200, random.Random(0))
    assert {*made} == {"where is the red dog here?", "where is the red cat asleep?", "is the red cat?"}


def test_words_alone_answer_what_follows_from_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(priors, "FOLDER", tmp_path)
    monkeypatch.setattr(priors, "vectors", lambda questions: torch.zeros(len(questions), 384))
    monkeypatch.setattr(priors, "EPOCHS", 40)
    colours = {"is it green?": "grass", "is it blue?": "sky", "is it white?": "snow"}
    days = {"was it day?": "yes", "was it cold?": "no", "was it night?": "no"}
    rows = [
        [{"question": so + q, "answers": [a] * 10} for q, a in kind.items() for so in ("", "so ")][:-1] * 200
        for kind in (colours, days)
    ]  # "so is it white?" and "so was it night?" nobody asked
    told = priors.exchanges(rows, 9)
    assert told == [[("so is it white?", "snow")] * 9, [("so was it night?", "no")] * 9]
    assert priors.exchanges([], 9) == told  # from its file


def test_the_paint_of_a_solid_colour_is_the_word_for_it_or_none() -> None:
    red, beige = (np.full((9, 3), colour, np.uint8) for colour in ((225, 20, 30), (243, 173, 97)))
    assert nearest_paint(red) == "red" and nearest_paint(beige, within=115) == ""


class TwoThings(Art):
    """An apple, red but for a green leaf, and a flag that is red and green."""

    def __init__(self) -> None:
        self.names = {"apple": ["apple"], "flag": ["flag"]}
        self.near: dict[str, list[str]] = {"apple": [], "flag": []}
        self.common = ["apple", "flag"]

    @functools.lru_cache  # noqa: B019 - as what it stands in for
    def picture(self, icon: str, paint: str = "") -> Image:
        pixels = np.full((40, 60, 4), (225, 20, 30, 255), np.uint8)
        pixels[: 4 if icon == "apple" else 19, :, :3] = 20, 160, 60
        return fromarray(pixels)


def test_what_is_called_by_its_own_colour_is_drawn_as_it_is() -> None:
    art = TwoThings()
    assert (art.one_colour("apple"), art.one_colour("flag"), art.own_paint("flag")) == ("red", "", "red")
    painted = Sampler(art, (0, 1, 0, 0))
    things = {painted.scene().things[0] for _ in range(300)}
    assert {thing.paint for thing in things if thing.words == "red apple"} == {""}
    assert {thing.paint for thing in things if thing.words == "blue flag"} == {"blue"}


def test_what_stands_in_an_unusual_way_is_called_so_and_never_cut() -> None:
    art = TwoThings()
    alone = Sampler(art, (1, 0, 0, 0), common=1, more=["flag"], ways=0.8)
    scenes = [replace(alone.scene(), ground="white") for _ in range(400)]
    things = [scene.things[0] for scene in scenes]
    for way, seen in (
        ("tilted", lambda thing: thing.tilt > 5),
        ("slanted", lambda thing: thing.tilt < -5),
        ("small", lambda thing: thing.size < 0.7),
        ("wide", lambda thing: thing.stretch > 1.2),
        ("tall", lambda thing: thing.stretch < 0.8),
    ):
        assert 30 < sum(map(seen, things)) < 100
        assert all(seen(thing) == (thing.way in WAYS[way]) for thing in things)
    assert sum(thing.icon == "flag" for thing in things) > 300
    drawn = np.stack([art.draw(scene, 256) for scene in scenes])
    assert (drawn[:, [0, -1]] == 255).all() and (drawn[:, :, [0, -1]] == 255).all()
    with pytest.raises(ValueError, match="kite"):
        Sampler(art, more=["kite"])


def test_people_are_counted_only_where_the_detector_is_sure() -> None:
    sure, unsure, dog = Found("person", 0.8, BOX), Found("person", 0.4, BOX), Found("dog", 0.4, BOX)
    assert [people(things) for things in ([], [dog], [sure, sure, dog], [sure, unsure])] == [0, 0, 2, None]
    for number, answer in ((0, "no"), (1, "yes"), (3, "yes")):
        talks = [counted(number, random.Random(i)) for i in range(30)]
        assert {talk[0][1] for talk in talks} == {answer} and {talk[-1][1] for talk in talks} >= {str(number)}


def test_a_cut_photo_shows_the_things_that_are_in_it_for_the_most_part_where_they_are_now() -> None:
    left, right = Found("person", 0.9, BOX), Found("dog", 0.9, (0.9, 0.4, 1.0, 0.6))
    assert within([left, right], Cut()) == [left, right]
    (turned,) = within([left], Cut(mirrored=True)) or []
    assert turned.box == (0.5, 0.0, 1.0, 1.0)
    (there,) = within([left, right], Cut(wide=12)) or []
    assert there.name == "person" and there.box == pytest.approx((0, 0, 7 / 12, 1))
    assert within([left, right], Cut(left=4, wide=10)) is None  # less than half of the person


def test_each_cell_shows_the_nearest_thing_and_each_thing_has_a_cell() -> None:
    left, right = Found("person", 0.9, BOX), Found("person", 0.9, (0.4, 0.0, 1.0, 1.0))
    far = Found("dog", 0.9, (0.9, 0.9, 0.91, 0.91))
    found = covers([left, right, far], 7)
    assert [found.get(21 + column) for column in range(7)] == [left] * 3 + [right] * 4
    assert found[48] == far and not covers([], 7)
    beside = far._replace(box=(0.92, 0.92, 0.93, 0.93))
    assert {far, beside} <= {*covers([left, right, far, beside], 7).values()}


def test_moved_features_are_parts_of_the_picture_some_mirrored() -> None:
    slope = torch.arange(14.0).expand(60, 120, 14, 14)  # rises to the right
    across = moved(slope, random.Random(0))[:, 0, 0]
    assert across.shape == (60, 14) and across.min() >= 0 and across.max() <= 13
    assert 15 < int((across[:, 0] > across[:, -1]).sum()) < 45


@pytest.mark.parametrize(
    ("caption", "worth"),
    [
        ("a bear in the snow", 1),
        ("a bear and a bear", 0),
        ("a white dog is bear is running", 0),
        ("a beard", 0),
    ],
)
def test_a_caption_of_a_dream_is_worth_one_that_names_it_once_and_no_dog(caption: str, worth: int) -> None:
    assert named("bear", caption) == worth


def test_a_dream_is_a_photo_in_which_the_tower_sees_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    tower = torch.nn.Module()
    tower.blocks = torch.nn.Sequential(*[torch.nn.Identity()] * LOWER_BLOCKS, torch.nn.AvgPool2d(2))
    tower.conv_head, tower.bn2, tower.classifier = torch.nn.Conv2d(120, 64, 1), torch.nn.ReLU6(), torch.nn.Linear(64, 9)
    photos = torch.randn(2, 120, 14, 14)
    monkeypatch.setattr(dreams, "STEPS", 15)
    dreamt = dreams.dream(tower, photos, [3, 7], random.Random(0))
    before, after = (tower.classifier(upper(tower, each).mean(1)).argmax(1).tolist() for each in (photos, dreamt))
    assert dreamt.shape == photos.shape and not dreamt.requires_grad
    assert before != [3, 7] and after == [3, 7]


def test_a_thin_line_beside_a_patchs_edge_is_a_seam_and_the_same_line_elsewhere_is_none() -> None:
    plain = np.random.default_rng(0).integers(0, 9, (2, 256, 256, 3), np.uint8)
    seam, line = plain.copy(), plain.copy()
    seam[:, :, 31:225:32] += 20
    line[:, :, 16:225:32] += 20
    assert around_edges(256, 1)[:4] == [30, 31, 32, 62]
    assert seams(plain) == pytest.approx(1, abs=0.02) and seams(seam) > 1.5 and seams(line) < 1


@pytest.mark.parametrize("shape", [(6, 20), (20, 6)])
def test_matrices_become_nearly_orthogonal_in_their_own_type(shape: tuple[int, int]) -> None:
    made = precision._orthogonal(torch.randn(shape), (3.4445, -4.775, 2.0315), 5, 1e-7)
    assert made.dtype == torch.float32 and made.shape == shape
    assert torch.linalg.svdvals(made).sub(1).abs().max() < 0.4


def looks(question: str, answer: str, things: list[Thing]) -> tuple[dict[tuple[int, str], Look], list[str]]:
    """The looks by head and the token that looks, and the tokens."""
    packed = pack(encode(TOKENIZER, [[[(question, answer)]]]))
    tokens = [str(TOKENIZER.id_to_token(i)) for i in packed[0][0].tolist()]
    found = Looks(TOKENIZER, ["cat", "dog", "tree"])(packed, [aids.covers(Seen(things, "white", "plain", 0))])
    return {(one.head, tokens[one.token - CELLS - 1]): one for one in found}, tokens


def test_a_name_in_a_question_looks_to_each_of_its_things_and_the_answer_to_the_name() -> None:
    cats = [Thing("cat-face", "cat", x=x, y=0.25, size=0.25) for x in (0.2, 0.8)]
    found, tokens = looks("how many cats are there?", "2", [*cats, Thing("dog-face", "dog", y=0.8, size=0.3)])
    name = next(token for head, token in found if head == 3)
    nothing, *each = found[3, name].there
    assert nothing == NOTHING and len(each) == 2 and not {*each[0]} & {*each[1]}
    assert found[0, name].there == [each[0] + each[1]]
    start = CELLS + 1 + tokens.index(START)
    assert found[1, START].token == start and found[1, START].there == [[found[0, name].token]]


def test_a_name_of_nothing_that_is_there_looks_to_nothing() -> None:
    found, _ = looks("is there a tree?", "no", [Thing("cat-face", "cat")])
    assert [one.there for (head, _), one in found.items() if head in (0, 3)] == [[NOTHING], [NOTHING]]


def test_names_in_a_photo_look_to_what_a_detector_found_and_to_nothing_only_where_the_answer_is_no() -> None:
    found = covers([Found("person", 0.9, BOX), Found("person", 0.9, (0.5, 0.0, 1.0, 1.0))], 7)
    talks = [[("how many people are there?", "2")], [("what does the man hold?", "ball")], [("is there a dog?", "no")]]
    packed = pack(encode(TOKENIZER, [talks, talks]))
    seen = Looks(TOKENIZER, [])(packed, [found, None], photos=True)
    assert {one.picture for one in seen} == {0}
    each = [len(one.there) for one in seen if one.head == 3]
    assert each == [3, 1] and [one.there for one in seen if one.head == 0][-1] == [NOTHING]
    assert [len(one.there) for one in seen if one.head == 0] == [1, 1, 1]  # the man is somewhere among the people


def test_what_a_detector_doubts_is_neither_looked_at_nor_said() -> None:
    sure, doubtful = Found("dog", 0.9, BOX), Found("person", 0.4, (0.5, 0.0, 1.0, 1.0))
    assert (aids.told(sure), aids.told(doubtful)) == ("dog", "")
    packed = pack(encode(TOKENIZER, [[[("are there people?", "yes")], [("is there a dog?", "yes")]]]))
    seen = Looks(TOKENIZER, [])(packed, [covers([sure, doubtful], 7)], photos=True)
    assert [len(one.there[-1]) for one in seen if one.head in (0, 3)] == [15, 15]


def test_words_before_a_name_in_an_answer_look_to_what_they_will_name() -> None:
    found, _ = looks("describe the photo.", "a red cat", [Thing("cat-face", "cat", "red")])
    *before, name = sorted(token.token for (head, _), token in found.items() if head == 0)
    assert len(before) == 3 and found[0, START].token == before[0] and name == before[-1] + 1


def test_where_a_name_ends_an_answer_looks_to_what_is_left_to_say() -> None:
    things = [Thing("cat-face", "cat", x=0.2, size=0.3), Thing("dog-face", "dog", x=0.8, size=0.3)]
    found, _ = looks("describe the photo.", "a cat and a dog", things)
    assert found[0, "Ġcat"].there == found[0, "Ġand"].there != [NOTHING]
    assert found[0, "Ġdog"].there == [NOTHING]


def test_another_name_means_that_which_is_called_so_first_and_a_name_of_its_own_nothing_else() -> None:
    called = (
        ["giant panda", "panda", "panda bear"],
        ["red panda", "lesser panda", "panda"],
        ["fox", "reynard"],
        ["Reynard", "fox"],
        ["crane", "bird"],
        ["hoist", "bird"],
    )
    nodes = [words.Node(names, "", []) for names in called]
    assert words.synonyms(nodes) == {"panda": 0, "panda bear": 0, "lesser panda": 1}


def test_a_text_tower_that_grows_reads_new_words_whole_and_others_as_before() -> None:
    model, _, tokenizer = opened(model_folder() / "quartet-clip")
    pieces = tokenizer.encode("blorptang").ids[:-1]
    larger, words = grown(model, tokenizer, ["a blorptang dog", "Blorptang"])
    number = tokenizer.get_vocab_size()
    assert words.encode("two blorptang").ids[1:] == [number, 2] and words.get_vocab_size() == number + 1
    vectors = larger.text.token_embedding.weight
    torch.testing.assert_close(vectors[number], vectors[pieces].mean(0))
    said = ["a dog on the beach", "blorptan"]
    torch.testing.assert_close(reader(larger, words)(said), reader(model, tokenizer)(said))
