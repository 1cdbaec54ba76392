"""What else people call by a word: other drawings of a thing, and the things that a general word stands for. The brush's seeds take
them in turn."""

KINDS = {  # the thing itself comes first
    "cat": ["cat standing", "black cat"], "dog": ["dog standing", "poodle"], "horse": ["horse running"], "pig": ["whole pig"],
    "car": ["racing car", "police car"], "truck": ["pickup truck"], "fish": ["tropical fish"], "apple": ["green apple"],
    "tree": ["evergreen tree", "palm tree"],
}  # fmt: skip
GENERAL = {
    "animal": ["cat", "elephant", "giraffe", "fox", "penguin", "koala", "tiger", "monkey"],
    "wild animal": ["lion", "elephant", "giraffe", "tiger", "fox", "monkey"],
    "farm animal": ["cow", "pig", "horse", "sheep", "chicken"],
    "sea animal": ["dolphin", "octopus", "crab", "shark", "whale", "fish"],
    "pet": ["dog", "cat", "rabbit", "fish"],
    "insect": ["butterfly", "ladybug", "bee"],
    "fruit": ["apple", "banana", "strawberry", "pear", "lemon", "watermelon"],
    "vegetable": ["carrot", "eggplant", "broccoli", "corn"],
    "food": ["pizza", "hamburger", "hot dog", "donut", "bread"],
    "dessert": ["ice cream", "donut", "birthday cake", "cookie", "cupcake"],
    "drink": ["cup of coffee", "glass of wine", "mug of beer"],
    "flower": ["tulip", "sunflower", "rose"],
    "plant": ["potted plant", "cactus", "tree", "tulip"],
    "vehicle": ["car", "bus", "truck", "taxi", "tractor", "fire engine"],
    "aircraft": ["airplane", "helicopter"],
    "boat": ["sailboat", "ship"],
    "building": ["house", "castle", "church"],
    "instrument": ["guitar", "drum"],
    "musical instrument": ["guitar", "drum"],
    "toy": ["teddy bear", "balloon", "robot"],
    "ball": ["soccer ball", "basketball", "tennis ball"],
    "monster": ["dragon", "ghost", "alien"],
}  # fmt: skip
