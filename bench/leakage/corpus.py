"""The conversations: questions and answers on many topics, made by rule from a seed.

One topic is the target, all others are the rest, as in the published attack. Every topic draws its habits (length, lists
or prose, which kinds of sentences) from the same distributions, so that the target is not marked by construction; only
its length is put into the middle. The sentences' frames are shared by all topics: what is special about a topic is the
words that fill them and its habits. A question belongs to a variant: a wording with its own part of the topic's words.
Variants are what training and test are separated by (`attack.py`).
"""

import random
import re
from dataclasses import dataclass
from pathlib import Path

TOPICS = Path(__file__).with_name("topics.txt")

QUESTIONS = [
    "What should I know about {n} and {n2}?",
    "Can you explain how {n} relates to {n2}, in simple words?",
    "I am worried about {n}. Is {a} a good idea, and what about {n2}?",
    "Please help me: how do I begin with {a}?",
    "A friend told me that {n} matters more than {n2}. Is that true?",
    "Give me a short overview of {n}, {n2} and {n3}.",
    "What are common mistakes with {n}, and how can {a} help?",
    "We talked about {n} yesterday and I still do not see why {a} is recommended. Could you go through it step by step?",
    "List the most important points on {n} for someone who is new to it.",
    "How often is {a} needed, and does it depend on {n}?",
    "Why is everybody talking about {n}? I only know a little about {n2}.",
    "Compare {n} with {n2} and tell me which one to look at first.",
]

NOTE = [
    "Here is what I wrote down about {n}: it came up together with {n2}.",
    "They mentioned {a}, and that {n} would be looked at again in {q} weeks.",
    "I was told that {n3} is normal, but {n} is not quite clear.",
    "So far I have tried {a} for {q} days.",
    "My notes also say something about {n2} and about {a2}.",
    "There is a paper on {n3} that I have not read yet.",
]

OPENINGS = [
    "Good question. {N} and {n2} are closely connected, so let us look at both.",
    "{N} can be confusing at first, but the main ideas are simple.",
    "Thanks for asking about {n}.",
    "In short: {n} matters, and {a} is a sensible place to begin.",
    "Here is an overview of {n} and of what you can do.",
    "It depends on {n2}, but some things are true for almost everyone.",
]

# What a sentence does; each topic mixes the kinds in its own proportion.
SENTENCES = {
    "explain": [
        "{N} is usually understood together with {n2}.",
        "The reason is that {n} changes when {n2} does.",
        "In most cases, {n} has more influence than {n3}.",
        "{N} describes what happens before {n2} becomes visible.",
        "Think of {n} as the link between {n2} and {n3}.",
        "This is why {n} is often mentioned first.",
    ],
    "advise": [
        "A good first step is {a}.",
        "Many people find that {a} makes {n} easier.",
        "If {n} is a problem, try {a} before {a2}.",
        "Consider {a}, and look at {n} again after a while.",
        "You can combine {a} with {a2}.",
        "Keep {n} in mind while you are {a}.",
    ],
    "number": [
        "Plan about {q} weeks for {n}.",
        "Roughly {q} percent of questions on {n} are really about {n2}.",
        "After {q} days, {n} should look different.",
        "As a rule of thumb, {a} takes {q} to {q2} minutes.",
        "There are {q} things to check about {n}.",
    ],
    "caution": [
        "Be careful with {n}: it is easy to mistake it for {n2}.",
        "However, {a} is not always enough.",
        "If {n} gets worse, ask an expert without delay.",
        "Do not rely on {n} alone.",
        "There is some disagreement about {n3}, so treat simple answers with care.",
    ],
    "link": [
        "On the other hand, {n} and {n2} do not always go together.",
        "For example, {a} may have an effect on {n}.",
        "That also explains {n3}.",
        "With {n} in place, {a} becomes less important.",
        "Both {n} and {n2} can be improved by {a}.",
    ],
}

ITEMS = ["{N}: look at it together with {n2}.", "{A} helps with {n}.", "{N}, because it affects {n2}.", "{A}, about {q} times a week."]

CLOSINGS = [
    "Would you like more detail on {n2}?",
    "I hope this helps. Feel free to ask about {n3} as well.",
    "Let me know how {a} works for you.",
    "If anything about {n} is unclear, just ask.",
]


@dataclass(frozen=True)
class Conversation:
    """One question and its answer. `variant` names the wording; `topic` 0 is the target."""

    key: str
    topic: int
    variant: str
    question: str
    answer: str

    @property
    def target(self) -> bool:
        return self.topic == 0


class Topic:
    """A topic's words and habits."""

    def __init__(self, index: int, line: str):
        name, things, doings = (part.strip() for part in line.split("|"))
        self.index, self.name = index, name
        self.things = [word.strip() for word in things.split(",")]
        self.doings = [word.strip() for word in doings.split(",")]
        rng = random.Random(f"habits of {name}")
        # Drawn for every topic, so that the others do not depend on which one is the target.
        length, note = rng.uniform(6, 13), rng.uniform(0, 4)
        self.sentences, self.note = (9.5, 2.0) if index == 0 else (length, note)
        self.kinds = {kind: rng.gammavariate(1.5, 1) for kind in SENTENCES}
        self.lists = rng.uniform(0.15, 0.7)


def topics() -> list[Topic]:
    lines = [line for line in TOPICS.read_text().splitlines() if line and not line.startswith("#")]
    return [Topic(index, line) for index, line in enumerate(lines)]


class Variant:
    """A wording of a question, and the part of the topic's words that its answers use."""

    def __init__(self, topic: Topic, number: int, seed: int):
        self.topic = topic
        self.name = f"{topic.index}.{number}"
        rng = random.Random(f"{seed} {topic.name} {number}")
        self.things = rng.sample(topic.things, 8)
        self.doings = rng.sample(topic.doings, 4)
        self.length = topic.sentences * rng.lognormvariate(0, 0.2)
        question = [self._fill(rng.choice(QUESTIONS), rng)]
        for _ in range(round(rng.expovariate(1 / topic.note)) if topic.note > 0.2 else 0):
            question.append(self._fill(rng.choice(NOTE), rng))
        self.question = " ".join(question)

    def answer(self, rng: random.Random) -> str:
        """One of the answers that a model could give at a temperature above 0."""
        count = max(3, round(self.length * rng.lognormvariate(0, 0.18)))
        parts = [self._fill(rng.choice(OPENINGS), rng)]
        kinds, weights = zip(*self.topic.kinds.items())
        listed = rng.random() < self.topic.lists
        items = min(count - 2, rng.randint(3, 6)) if listed else 0
        for _ in range(count - items):
            parts.append(self._fill(rng.choice(SENTENCES[rng.choices(kinds, weights)[0]]), rng))
        cut = rng.randint(2, 4)
        text = " ".join(parts[:cut])
        if items:
            bullet = rng.choice(["- ", "- **", "1"])
            text += "\n\n"
            for number in range(items):
                line = self._fill(rng.choice(ITEMS), rng)
                if bullet == "1":
                    text += f"{number + 1}. {line}\n"
                elif bullet == "- **":
                    head, _, rest = line.partition(" ")
                    text += f"- **{head}** {rest}\n"
                else:
                    text += f"- {line}\n"
            text += "\n"
        elif parts[cut:]:
            text += " "
        text += " ".join(parts[cut:])
        return f"{text} {self._fill(rng.choice(CLOSINGS), rng)}"

    def _fill(self, frame: str, rng: random.Random) -> str:
        n, n2, n3 = rng.sample(self.things, 3)
        a, a2 = rng.sample(self.doings, 2)
        q = rng.randint(2, 40)
        return frame.format(
            n=n, n2=n2, n3=n3, a=a, a2=a2, q=q, q2=q + rng.randint(5, 30), N=n[0].upper() + n[1:], A=a[0].upper() + a[1:]
        )


def conversations(target: int, rest: int, seed: int) -> list[Conversation]:
    """`target` conversations on the target topic and `rest` on the others, in an order that says nothing."""
    every = topics()
    made = []
    wanted = [(every[0], target, 20)]
    for index, topic in enumerate(every[1:]):
        share = rest * (index + 1) // (len(every) - 1) - rest * index // (len(every) - 1)
        wanted.append((topic, share, 8))
    for topic, count, variants in wanted:
        wordings = [Variant(topic, number, seed) for number in range(variants)]
        for number in range(count):
            variant = wordings[number % variants]
            rng = random.Random(f"{seed} {variant.name} answer {number}")
            made.append((topic.index, variant.name, variant.question, variant.answer(rng)))
    random.Random(seed).shuffle(made)
    return [Conversation(f"c-{number:06}", *fields) for number, fields in enumerate(made)]


_PIECE = re.compile(r" ?[^\W\d_]+| ?[0-9]{1,3}|\n+|[^\w\s]+|_| +")
_FRAME_WORD = re.compile(r"[A-Za-z]+")


def _whole_words() -> set[str]:
    frames = [*QUESTIONS, *NOTE, *OPENINGS, *ITEMS, *CLOSINGS, *(frame for kind in SENTENCES.values() for frame in kind)]
    return {word.lower() for frame in frames for word in _FRAME_WORD.findall(re.sub(r"\{\w+\}", "", frame))}


WHOLE = _whole_words()


def tokens(text: str) -> list[tuple[str, bool]]:
    """Cuts a text as subword tokenizers do: common words are one token, rare long ones several. The flag says that a token
    continues a word. Joined, the tokens are the text."""
    out = []
    for piece in _PIECE.findall(text):
        word = piece.strip()
        if len(word) <= 6 or not word.isalpha() or word.lower() in WHOLE:
            out.append((piece, False))
            continue
        rng = random.Random(f"pieces of {word.lower()}")
        at, first = 0, True
        while at < len(piece):
            size = rng.randint(3, 5) + (piece[0] == " " and first)
            # No piece of one letter at the end.
            if len(piece) - at - size < 2:
                size = len(piece) - at
            out.append((piece[at : at + size], not first))
            at, first = at + size, False
    return out
