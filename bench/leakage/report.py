"""Runs the attack on recordings and prints what it found and what each mode costs, as Markdown; draws the plot.

    python bench/leakage/report.py --recorded target/leakage --plot target/leakage/leakage.svg
"""

import os

# Before numpy and LightGBM are loaded: threads that wait for each other are slower than none on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

import engine
from attack import Result, Seen, attack, control
from corpus import Conversation, conversations, tokens, topics
from features import VIEWS, Trace, plain_lengths, plain_request, repadded
from record import DIRECT, MODES, Mode, body, file_of

# Conversations on a topic below which its variants cannot be dealt out to training and test.
FEW = 16
# Every so manieth topic is taken as the target in turn.
EVERY = 4
# The first is what Padmé gives for events of 256 to 511 bytes.
STEPS = (16, 64, 128, 256)
PLACES = 3
ANSWERS = [name for name, mode in MODES.items() if mode.most is None]


@dataclass
class Recording:
    """One conversation in one mode."""

    conversation: Conversation
    trace: Trace
    began: float
    came: list[float]
    sent: list[float]
    ended: float
    engine_bytes: int
    request_bytes: int


def load(folder: Path, mode: str, corpus: dict[str, Conversation]) -> list[Recording]:
    """In the order of the corpus; a conversation that was not recorded is an error."""
    journal: dict[str, dict] = {}
    for line in (folder / f"{file_of(mode)}.engine.jsonl").read_text().splitlines():
        entry = json.loads(line)
        # Warming up asks for a few tokens of conversations that come again as a whole.
        if len(entry["sent"]) >= len(journal.get(entry["key"], {"sent": []})["sent"]):
            journal[entry["key"]] = entry
    found, settings = {}, MODES.get(mode, Mode([]))
    for line in (folder / f"{file_of(mode)}.jsonl").read_text().splitlines():
        entry = json.loads(line)
        conversation, there = corpus[entry["key"]], journal[entry["key"]]
        if len(there["sent"]) != len(entry["came"]):
            raise SystemExit(f"{mode}: {entry['key']} has not all events of the engine")
        found[entry["key"]] = Recording(
            conversation, Trace.of(entry["seen"]), entry["began"], entry["came"], there["sent"], entry["ended"],
            there["bytes"], len(body(conversation, settings.model, None)),
        )  # fmt: skip
    missing = corpus.keys() - found.keys()
    if missing:
        raise SystemExit(f"{mode}: {len(missing)} conversations are missing; record this mode again")
    return [found[key] for key in corpus]


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def shown(result: Result) -> str:
    return f"{result.mean:.3f} ± {result.spread:.3f}"


class Kept:
    """Results beside the recordings, so that a report can be made again; those of older recordings do not count."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.path = folder / "results.json"
        self.found = json.loads(self.path.read_text()) if self.path.exists() else {}

    def get(self, name: str, what: str, compute: Callable[[], Result]) -> Result:
        recording = self.folder / f"{file_of(name)}.jsonl"
        made = recording.stat().st_mtime_ns if recording.exists() else 0
        key = f"{name}: {what} ({made})"
        if key not in self.found:
            result = compute()
            self.found[key] = {"scores": result.scores, "base": result.base}
            self.path.write_text(json.dumps(self.found, indent=1))
        return Result(**self.found[key])


class Report:
    def __init__(self, folder: Path, seeds: int, modes: list[str]):
        self.about = json.loads((folder / "about.json").read_text())
        self.seeds = range(seeds)
        made = conversations(self.about["target"], self.about["rest"], self.about["seed"])
        self.corpus = {conversation.key: conversation for conversation in made}
        self.labels = np.asarray([int(conversation.target) for conversation in made])
        self.groups = np.asarray([c.variant if c.target else f"topic {c.topic}" for c in made])
        self.modes = {}
        for mode in [DIRECT, *modes]:
            if (folder / f"{file_of(mode)}.jsonl").exists():
                self.modes[mode] = load(folder, mode, self.corpus)
                print(f"{mode}: {len(self.modes[mode])} recordings", file=sys.stderr)
        self.results: dict[str, dict[str, Result]] = {}
        self.kept = Kept(folder)

    def _attack(self, name: str, view: str, seen: Seen) -> None:
        compute = lambda: attack(seen, self.labels, self.groups, self.seeds)
        self._result(name, view, compute)

    def _control(self, name: str, seen: Seen) -> None:
        compute = lambda: control(seen, self.labels, self.groups, self.seeds)
        self._result(name, "control", compute)

    def _result(self, name: str, view: str, compute: Callable[[], Result]) -> None:
        result = self.kept.get(name, f"{view}, {len(self.seeds)} seeds", compute)
        self.results.setdefault(name, {})[view] = result
        print(f"{name}, {view}: {shown(result)}", file=sys.stderr, flush=True)

    def attacks(self) -> str:
        made = list(self.corpus.values())
        seed = self.about["seed"]
        plain = Seen([plain_lengths([text for _, text, _ in engine.steps(c, seed)]) for c in made])
        self._attack("plaintext lengths", "requests", Seen([plain_request(c.question) for c in made]))
        self._attack("plaintext lengths", "sizes", plain)
        self._control("plaintext lengths", plain)
        for mode, recordings in self.modes.items():
            if mode == DIRECT:
                continue
            for view, of in VIEWS.items():
                if mode in ANSWERS or view == "requests":
                    seen = Seen([of(recording.trace) for recording in recordings])
                    self._attack(mode, view, seen)
            if mode in ANSWERS:
                self._control(mode, seen)
        views = [*VIEWS, "control"]
        names = ["requests alone", "answers: sizes", "answers: sizes and times", "control, dealt out anew"]
        rows = []
        for name, results in self.results.items():
            rows.append([f"`{name}`" if name in MODES else name])
            rows[-1] += [shown(results[view]) if view in results else "" for view in views]
        return table(["AUPRC", *names], rows)

    def coarser(self) -> str:
        """Where a bucket ends depends on the fixed part of an event. So buckets of several widths, at several places."""
        recordings = self.modes.get("off")
        if not recordings:
            return "Without a recording of `off`, other buckets cannot be computed."
        rows = []
        text = sum(len(r.conversation.answer.encode()) for r in recordings)
        for step in STEPS:
            scores, down = [], []
            for longer in [step * place // PLACES for place in range(PLACES)]:
                traces = [repadded(r.trace, 256, step, longer) for r in recordings]
                compute = lambda: attack(Seen([VIEWS["sizes"](t) for t in traces]), self.labels, self.groups, range(1))
                scores.append(self.kept.get("off", f"steps of {step}, {longer} longer", compute).mean)
                down.append(sum(size for t in traces for _, size in t.down) / text)
            print(f"steps of {step}: {np.mean(scores):.3f}, {max(scores):.3f}", file=sys.stderr, flush=True)
            figures = [f"{np.mean(scores):.3f}", f"{min(scores):.3f}", f"{max(scores):.3f}", f"{np.mean(down):.0f}"]
            rows.append([f"no finer than {step} bytes", *figures])
        head = ["buckets, computed from `off`", "AUPRC, sizes: mean of places", "least", "most", "bytes per byte of text"]
        return table(head, rows)

    def other_targets(self) -> str:
        """Other topics as the target in turn: the one of the main table has a length in the middle, others have not."""
        rows = []
        made = list(self.corpus.values())
        if self.about["rest"] < FEW * (len(topics()) - 1):
            return "Too few conversations on each topic to take it as the target."
        for mode in ANSWERS:
            if mode not in self.modes:
                continue
            seen = Seen([VIEWS["sizes"](recording.trace) for recording in self.modes[mode]])
            found = []
            for topic in range(EVERY, len(topics()), EVERY):
                labels = np.asarray([int(c.topic == topic) for c in made])
                groups = np.asarray([c.variant if c.topic == topic else f"topic {c.topic}" for c in made])
                compute = lambda: attack(seen, labels, groups, range(1))
                found.append(self.kept.get(mode, f"topic {topic} as the target", compute))
            scores = [result.mean for result in found]
            print(f"{mode}, other targets: {np.mean(scores):.3f}", file=sys.stderr, flush=True)
            figures = [np.mean(scores), min(scores), np.median(scores), max(scores), np.mean([r.base for r in found])]
            rows.append([f"`{mode}`", *(f"{figure:.3f}" for figure in figures)])
        head = f"{len(range(EVERY, len(topics()), EVERY))} other topics as the target, sizes"
        return table([head, "mean", "least", "median", "most", "base rate"], rows)

    def shape(self) -> str:
        """What there is to see, apart from any topic."""
        rows = []
        count = [len(tokens(c.answer)) for c in self.corpus.values()]
        question = [len(c.question) for c in self.corpus.values()]
        for mode in MODES:
            if mode not in self.modes:
                continue
            traces = [recording.trace for recording in self.modes[mode]]
            sizes = {size for trace in traces for _, size in trace.down}
            up = [sum(size for _, size in trace.up) for trace in traces]
            records = [len(trace.down) for trace in traces]
            down = [sum(size for _, size in trace.down) for trace in traces]
            answers = [
                str(len(sizes)), f"{np.mean(records):.0f}", f"{spearmanr(records, count).statistic:.3f}",
                f"{spearmanr(down, count).statistic:.3f}",
            ]  # fmt: skip
            asked = [str(len(set(up))), f"{spearmanr(up, question).statistic:.3f}"]
            rows.append([f"`{mode}`", *(answers if mode in ANSWERS else [""] * 4), *asked])
        head = ["what is seen", "sizes of records", "records an answer", "records ~ tokens", "bytes ~ tokens"]
        return table([*head, "sizes of requests", "request ~ question"], rows)

    def costs(self) -> str:
        direct = self.modes.get(DIRECT)
        rows = []
        for mode in [DIRECT, *ANSWERS]:
            recordings = self.modes.get(mode)
            if not recordings:
                continue
            first = np.asarray([r.came[0] - r.began for r in recordings]) * 1000
            whole = np.asarray([r.ended - r.began for r in recordings]) * 1000
            late = np.concatenate([np.subtract(r.came, r.sent) for r in recordings]) * 1000
            added = ["", ""]
            if direct and mode != DIRECT:
                plain_first = np.asarray([r.came[0] - r.began for r in direct]) * 1000
                plain_whole = np.asarray([r.ended - r.began for r in direct]) * 1000
                added = [f"{np.median(first - plain_first):.1f} ms", f"{np.median(whole - plain_whole):.1f} ms"]
            down = sum(size for r in recordings for _, size in r.trace.down)
            up = sum(size for r in recordings for _, size in r.trace.up)
            text = sum(len(r.conversation.answer.encode()) for r in recordings)
            stream = sum(r.engine_bytes for r in recordings)
            asked = sum(r.request_bytes for r in recordings)
            wire = ["", "", ""] if mode == DIRECT else [f"{down / text:.1f}", f"{down / stream:.2f}", f"{up / asked:.1f}"]
            rows.append([
                f"`{mode}`" if mode in MODES else "the engine directly", *wire, f"{np.median(first):.0f} ms", *added,
                f"{np.median(late):.1f} / {np.percentile(late, 95):.1f} ms",
            ])  # fmt: skip
        head = ["cost", "bytes per byte of text", "per byte of the engine's stream", "request, per byte of body"]
        return table([*head, "first token, median", "added to it", "added to the whole", "delay of an event, median / p95"], rows)

    def plot(self, path: Path) -> None:
        import matplotlib

        matplotlib.use("Agg")
        matplotlib.rcParams["svg.hashsalt"] = "leakage"
        from matplotlib import pyplot

        names = ["plaintext lengths", *[mode for mode in ANSWERS if mode in self.results]]
        views = {"requests": "requests alone", "sizes": "answers: sizes", "sizes+times": "answers: sizes and times"}
        figure, axes = pyplot.subplots(figsize=(8, 3.6))
        for number, (view, label) in enumerate(views.items()):
            at = [index + (number - 1) * 0.27 for index, name in enumerate(names) if view in self.results[name]]
            found = [self.results[name][view] for name in names if view in self.results[name]]
            axes.bar(at, [r.mean for r in found], 0.25, yerr=[r.spread for r in found], label=label, capsize=2)
        axes.axhline(self.labels.mean(), color="black", linewidth=0.8, linestyle="--", label="guessing")
        axes.set_xticks(range(len(names)), names)
        axes.set_ylim(0, 1.05)
        axes.set_ylabel("AUPRC, one topic against the rest")
        axes.legend(fontsize=8)
        figure.tight_layout()
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recorded", type=Path, default=Path("target/leakage"))
    parser.add_argument("--plot", type=Path, default=Path("target/leakage/leakage.svg"))
    parser.add_argument("--costs", type=Path, help="take the figures of cost from this recording")
    parser.add_argument("--modes", nargs="+", choices=list(MODES), help="only these")
    parser.add_argument("--seeds", type=int, default=5, help="how often training and test are separated anew")
    arguments = parser.parse_args()
    modes = arguments.modes or list(MODES)
    report = Report(arguments.recorded, arguments.seeds, modes)
    about = report.about
    print(
        f"{about['target']} conversations on the target topic, {about['rest']} on {len(topics()) - 1} others, "
        f"base rate {report.labels.mean():.2f}; {arguments.seeds} seeds, ± their standard deviation; seed of the corpus "
        f"{about['seed']}, {about['clients']} clients at a time; commit {about['commit']}.\n"
    )
    for part in (report.attacks, report.coarser, report.other_targets, report.shape):
        print(part(), end="\n\n", flush=True)
    calm = Report(arguments.costs, arguments.seeds, modes) if arguments.costs else report
    if calm is not report:
        print(f"Costs of {calm.about['target'] + calm.about['rest']} conversations, {calm.about['clients']} clients at a time.\n")
    print(calm.costs(), end="\n\n", flush=True)
    report.plot(arguments.plot)


if __name__ == "__main__":
    main()
