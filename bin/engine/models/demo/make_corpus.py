"""Writes the training corpus of the demonstration model: dialogues made from topics.txt and words.py.

Everything follows from the seed. About one question form in sixteen is held out: it never enters training, and evaluate.py asks it.
"""

import argparse
import hashlib
import json
import random
import re
from pathlib import Path

from words import PROPER, SYSTEM_PROMPTS, WORDS

HERE = Path(__file__).parent
SEED = 20251122

DEFINITION_FORMS = [
    "(what is|what's|what are|what is|what exactly is|what does|so what is) {x}( mean| exactly| for| good for| in simple words| in one sentence| here|||)",
    "(explain|define|describe|tell me about|can you explain|please explain|could you explain|can you tell me about|i want to know about|tell me something about|give me an explanation of|i do not understand|i have a question about|teach me about) {x}( to me| in simple words| briefly| in one sentence| please|||)",
    "(how does|how do) {x} work( exactly| here| in privatemode| in detail|||)",
    "(why|when) (do i need|would i use|should i use|do we have|is there) {x}",
    "(what do you mean by|what do you know about|what can you tell me about|what about|can you say something about|what is the purpose of|what is the meaning of|what is the idea of|what is meant by|do you know) {x}",
    "(how do i use|how can i use) {x}",
    "{x}",
    "{x}( please| explained| meaning| explanation| definition|)",
]

# Topics with open word lists need many more samples than the others.
WEIGHTS = {"unknown": 34, "math": 7, "code": 7, "write": 8, "translate": 4, "advice": 6, "weather": 2.5, "time": 2.5, "hello": 2.5, "say_hello": 2,
           "who_are_you": 2.5, "user_name": 2, "privatemode": 2.5, "attestation": 2.5, "operator": 2.5, "own_model": 2.5, "salt": 1.5, "german_hello": 1.3,
           "german_other": 1.5, "german_privatemode": 1.3, "opinion": 2.5, "joke": 2, "how_are_you": 1.5, "capabilities": 1.5, "key_exchange": 1.5,
           "stream": 1.5, "endpoints": 1.5, "commands": 1.3, "haiku": 1.5, "story": 1.5, "vision": 1.5, "safe": 1.5, "data_training": 1.5, "harmful": 1.3}
COMMON = 0.25  # share of a topic's questions that are the most common ones
NO_PREFIX = {"hello", "bye", "thanks", "german_hello", "german_how", "german_other", "german_what", "german_privatemode", "other_language", "ok", "no", "ping", "praise"}
MORE_FORMS = ["tell me more", "more", "more details", "tell me more about it", "can you explain that in more detail", "go on", "continue", "please explain more",
              "give me more details", "what else", "and what else", "explain further", "can you tell me more", "more please", "tell me more about that", "is that all",
              "why", "why is that", "how so", "can you elaborate", "elaborate", "what does that mean", "i do not understand", "explain that again", "really"]
NO_MORE = "That is all that I know about it. The documentation has the details."
PREFIXES = ["hi, ", "hey, ", "hello, ", "hello! ", "please ", "so ", "ok, ", "quick question: ", "well, ", "tell me, ", "and ", "now ", "one question: ", "by the way, ",
            "i have a question: ", "hi! ", "good morning, ", "dear model, ", "sorry, ", "one more thing: ", "i wonder, "]
SUFFIXES = [" please", ", please", " thanks", " in short", " briefly", " now", ", thank you", " for me", " again", " my friend", " then", " here"]
QUESTION = re.compile(r"^(what|who|whom|how|why|when|where|which|is|are|do|does|did|can|could|may|should|will|was|were|am|must|would|has|have|in which|on which|so what|"
                      r"wie|was|wer|wo|kann|sind|sprichst|verstehst|lernst|ist|whats|what's)\b", re.I)


def load_topics(path=HERE / "topics.txt"):
    """The topics in file order: name, question forms, most common questions, answers, follow-up answer."""
    topics, current = [], None
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#  ") or line.startswith("# ") or line == "#":
            continue
        kind, _, text = line.partition(" ")
        if kind == "@":
            current = {"name": text, "forms": [], "exact": [], "answers": [], "more": None}
            topics.append(current)
        elif kind == "D:":
            names = "(" + text.replace(" | ", "|") + ")"
            current["forms"] += [f.replace("{x}", names) for f in DEFINITION_FORMS]
        elif kind == "Q:":
            current["forms"].append(text)
        elif kind == "E:":
            current["exact"] = text.split(" | ")
        elif kind == "A:":
            current["answers"].append(text)
        elif kind == "M:":
            current["more"] = text
        else:
            raise ValueError(f"unknown line in {path.name}: {line}")
    return topics


def variants(form):
    """How many texts a form can make, roughly: long forms are sampled more often than short ones."""
    count = 1
    for group in re.findall(r"\(([^()]*)\)", form):
        count *= group.count("|") + 1
    return count


def expand(form, rng):
    """One text of a form: an alternative of each (a|b|), a word for each {slot}. Brackets without a bar stay as they are."""
    while True:
        match = re.search(r"\(([^()]*\|[^()]*)\)", form)
        if not match:
            break
        options = match.group(1).split("|")
        # The plain question is the one that most people ask: optional parts are left out more often than by chance.
        chosen = "" if "" in options and rng.random() < 0.4 else rng.choice(options)
        form = form[: match.start()] + chosen + form[match.end() :]
    while True:
        match = re.search(r"\{(\w+)\}", form)
        if not match:
            break
        form = form[: match.start()] + slot(match.group(1), rng) + form[match.end() :]
    return " ".join(form.split())


def slot(name, rng):
    if name == "num":
        return str(rng.choice([rng.randrange(0, 12), rng.randrange(10, 100), rng.randrange(10, 100), rng.randrange(100, 10000)]))
    if name == "gibberish":
        if rng.random() < 0.5:
            return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randrange(3, 9)))
        return "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(rng.randrange(1, 4))) + rng.choice(["", "n", "r", "x", "t", "s"])
    return rng.choice(WORDS[name])


def held_out(question):
    """Whether a question form belongs to the held-out part (by its hash, so that it is the same everywhere)."""
    return hashlib.sha256(question.lower().encode()).digest()[0] < 16


def polish(text, rng):
    """Careful spelling: capitals and a final mark."""
    for word in PROPER:
        text = re.sub(rf"(?<![\w/-]){re.escape(word.lower())}(?![\w-])", word, text)
    text = re.sub(r"\bi\b", "I", text)
    text = text[:1].upper() + text[1:]
    if text and text[-1].isalnum():
        text += "?" if QUESTION.match(text) else rng.choice([".", "", "!"])
    return text


def typo(text, rng):
    places = [i for i in range(1, len(text) - 2) if text[i].isalpha() and text[i + 1].isalpha() and text[i - 1].isalpha()]
    if not places:
        return text
    i = rng.choice(places)
    kind = rng.randrange(4)
    if kind == 0:
        return text[:i] + text[i + 1 :]
    if kind == 1:
        return text[:i] + text[i + 1] + text[i] + text[i + 2 :]
    if kind == 2:
        return text[:i] + text[i] + text[i:]
    return text[:i] + rng.choice("abcdefghijklmnopqrstuvwxyz") + text[i + 1 :]


def noisy(text, topic, rng):
    """The question as somebody might type it."""
    if topic not in NO_PREFIX and rng.random() < 0.2:
        text = rng.choice(PREFIXES) + text
    if topic not in NO_PREFIX and rng.random() < 0.1:
        text += rng.choice(SUFFIXES)
    if len(text) > 8 and rng.random() < 0.12:
        text = typo(text, rng)
        if len(text) > 24 and rng.random() < 0.3:
            text = typo(text, rng)
    style = rng.random()
    if style < 0.58:
        return polish(text, rng)
    if style < 0.85:
        text = text.lower() if rng.random() < 0.7 else text
        return text + rng.choice(["", "", "", "?", "!", " ?"]) if text[-1].isalnum() else text
    if style < 0.97:
        return text + rng.choice(["?", "?", "", ".", "!", "??"]) if text[-1].isalnum() else text
    return text.upper()


class Maker:
    """Makes questions and dialogues from the topics."""

    def __init__(self, topics, seed):
        self.rng = random.Random(seed)
        self.topics = topics
        self.weights = [WEIGHTS.get(t["name"], 1.0) for t in topics]
        self.form_weights = {t["name"]: [min(variants(f), 60) ** 0.6 for f in t["forms"]] for t in topics}

    def question(self, topic, want_held_out):
        """A question form of the topic from the wanted part, or None where none was found."""
        if topic["exact"] and not want_held_out and self.rng.random() < COMMON:
            return self.rng.choice(topic["exact"])
        for _ in range(200):
            form = self.rng.choices(topic["forms"], self.form_weights[topic["name"]])[0]
            text = expand(form, self.rng)
            if text and (held_out(text) and text.lower() not in topic["exact"]) == want_held_out:
                return text
        return None

    def dialogue(self):
        rng = self.rng
        messages = []
        if rng.random() < 0.4:
            messages.append({"role": "system", "content": rng.choice(SYSTEM_PROMPTS)})
        turns = rng.choices([1, 2, 3, 4, rng.randrange(5, 15)], [57, 23, 11, 6, 3])[0]
        previous = None
        while turns > 0:
            topic = rng.choices(self.topics, self.weights)[0]
            # A greeting first, and thanks or a goodbye last, as people do.
            if turns == 1 and previous and rng.random() < 0.15:
                name = rng.choice(["thanks", "bye", "ok"])
                topic = next(t for t in self.topics if t["name"] == name)
            text = self.question(topic, want_held_out=False)
            if text is None:
                continue
            messages.append({"role": "user", "content": noisy(text, topic["name"], rng)})
            messages.append({"role": "assistant", "content": rng.choice(topic["answers"])})
            turns -= 1
            previous = topic
            if rng.random() < (0.25 if topic["more"] else 0.02):
                messages.append({"role": "user", "content": noisy(rng.choice(MORE_FORMS), "ok", rng), "follows": True})
                messages.append({"role": "assistant", "content": topic["more"] or NO_MORE})
        return messages


def write_lines(path, rows):
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for train.jsonl and heldout.jsonl")
    parser.add_argument("--dialogues", type=int, default=60000)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    topics = load_topics()

    maker = Maker(topics, SEED)
    write_lines(args.out / "train.jsonl", (maker.dialogue() for _ in range(args.dialogues)))

    maker = Maker(topics, SEED + 1)
    rows, seen = [], set()
    for topic in topics:
        for _ in range(60 if topic["name"] == "unknown" else 12):
            text = maker.question(topic, want_held_out=True)
            if text and text.lower() not in seen:
                seen.add(text.lower())
                rows.append({"topic": topic["name"], "question": noisy(text, topic["name"], maker.rng), "answers": topic["answers"]})
    write_lines(args.out / "heldout.jsonl", rows)
    print(f"{len(topics)} topics, {sum(len(t['forms']) for t in topics)} forms, {args.dialogues} dialogues, {len(rows)} held-out questions")


if __name__ == "__main__":
    main()
