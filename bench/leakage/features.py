"""What an attacker makes of a recording: numbers, and words over the alphabet of sizes and gaps.

The numbers go to boosted trees, the words (runs of one to three neighbours) to a linear model. Each view has what it may
use and nothing else: `requests` the way up until the answer begins, `sizes` the lengths of the answer's records in their
order, `sizes+times` also when each came.
"""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from relay import DOWN, UP

# The head of an answer is longer than any record that only manages the connection (HTTP/2 pings, windows, settings).
ANSWER = 90
FIRST = 80
LAST = 4
NEAR = 12
QUANTILES = (0, 5, 10, 25, 50, 75, 90, 95, 100)


@dataclass
class Sample:
    numbers: list[float]
    words: Counter


@dataclass
class Trace:
    """One conversation on the wire: seconds and bytes of each record, up until the answer begins, and down from there."""

    up: list[tuple[float, int]]
    down: list[tuple[float, int]]

    @staticmethod
    def of(seen: list[tuple[float, int, int]]) -> "Trace":
        begin = next((i for i, (_, way, size) in enumerate(seen) if way == DOWN and size >= ANSWER), len(seen))
        up = [(t, size) for t, way, size in seen[:begin] if way == UP]
        down = [(t, size) for t, way, size in seen[begin:] if way == DOWN]
        return Trace(up, down)


# TLS 1.3 (header, type, tag), HTTP/2 (frame's header), and our segment (length, flag, nonce, length of padding, tag).
AROUND = 22 + 9 + 35


def padme(length: int) -> int:
    """As the protocol's section 9 has it."""
    exponent = length.bit_length() - 1
    mask = (1 << exponent - exponent.bit_length()) - 1
    return length + mask & ~mask


def repadded(trace: Trace, floor: int, step: int, longer: int = 0) -> Trace:
    """What a recording without padding would look like with buckets of at least `floor` bytes and no finer than `step`, if
    each event were `longer` by so many bytes, as with a longer name of the model."""

    def padded(size: int) -> int:
        if size < ANSWER + AROUND:
            return size
        return -(-padme(max(size - AROUND + longer, floor)) // step) * step + AROUND

    return Trace(trace.up, [(time, padded(size)) for time, size in trace.down])


def _statistics(values: list[float]) -> list[float]:
    if not values:
        return [0.0] * (len(QUANTILES) + 3)
    array = np.asarray(values, float)
    return [*np.percentile(array, QUANTILES), array.mean(), array.std(), array.sum()]


def _fixed(values: list[float], count: int) -> list[float]:
    return [*values[:count], *([-1.0] * (count - len(values)))]


def _sizes(sizes: list[int]) -> list[float]:
    """How many, how much, how spread, how the first and last ones are, and the shape of the histogram around its peak."""
    counted = Counter(sizes)
    total = max(1, len(sizes))
    peak = counted.most_common(1)[0][0] if sizes else 0
    entropy = -sum(n / total * math.log2(n / total) for n in counted.values())
    near = [counted.get(peak + offset, 0) / total for offset in range(-10, 25)]
    numbers = [len(sizes), len(counted), entropy, peak, *_statistics(sizes), *near]
    return [*numbers, *_fixed(sizes, FIRST), *_fixed(sizes[::-1], LAST)]


def _words(symbols: list[str], prefix: str) -> Counter:
    words: Counter = Counter()
    for length in (1, 2, 3):
        for at in range(len(symbols) - length + 1):
            words[prefix + "_".join(symbols[at : at + length])] += 1
    return words


def _size_words(sizes: list[int]) -> Counter:
    """The sizes themselves, and each above the least around it: counters in an event grow as the answer does."""
    above = [size - min(sizes[max(0, at - NEAR) : at + NEAR]) for at, size in enumerate(sizes)]
    return _words([str(size) for size in sizes], "s") + _words([str(size) for size in above], "r")


def requests(trace: Trace) -> Sample:
    sizes = [size for _, size in trace.up]
    return Sample([len(sizes), sum(sizes), max(sizes, default=0), *_fixed(sizes, 8)], Counter())


def sizes(trace: Trace) -> Sample:
    found = [size for _, size in trace.down]
    return Sample(_sizes(found), _size_words(found))


def sizes_and_times(trace: Trace) -> Sample:
    found = [size for _, size in trace.down]
    times = [time for time, _ in trace.down]
    gaps = [after - before for before, after in zip(times, times[1:])]
    duration = times[-1] - times[0] if times else 0.0
    pauses = [sum(gap > limit for gap in gaps) for limit in (0.002, 0.03, 0.06, 0.1, 0.2)]
    numbers = [times[0] if times else 0.0, duration, *pauses, *_statistics(gaps), *_fixed(gaps, FIRST)]
    # Steps of a tenth in the logarithm are what survives the jitter of a network.
    rhythm = [str(round(math.log2(max(gap, 0.001)) * 2)) for gap in gaps]
    base = sizes(trace)
    return Sample([*base.numbers, *numbers], base.words + _words(rhythm, "g"))


def plain_lengths(steps: list[str]) -> Sample:
    """Exact lengths of what each step added to the answer, without any protocol: the most that sizes can say."""
    found = [len(text.encode()) for text in steps]
    return Sample(_sizes(found), _size_words(found))


def plain_request(question: str) -> Sample:
    return Sample([len(question.encode())], Counter())


VIEWS = {"requests": requests, "sizes": sizes, "sizes+times": sizes_and_times}
