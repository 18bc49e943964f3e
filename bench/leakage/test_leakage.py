"""What the figures rest on: records are counted as they are, the corpus is the same everywhere, no group is on both sides.

    python -m unittest discover -s bench/leakage
"""

import json
import unittest
from collections import Counter
from pathlib import Path

import numpy as np

import attack
import corpus
import engine
import features
from relay import DOWN, UP, Records


class RelayTest(unittest.TestCase):
    def test_records_end_where_their_headers_say_however_they_arrive(self):
        stream = b"".join(b"\x17\x03\x03" + size.to_bytes(2, "big") + bytes(size) for size in (1, 300, 0, 16640))
        for piece in (1, 4, 5, 7, 1000, len(stream)):
            records, found = Records(), []
            for at in range(0, len(stream), piece):
                found += records.push(stream[at : at + piece])
            self.assertEqual(found, [6, 305, 5, 16645], piece)

    def test_a_record_that_has_not_ended_does_not_count(self):
        records = Records()
        self.assertEqual(records.push(b"\x17\x03\x03\x00\x02x"), [])
        self.assertEqual(records.push(b"y"), [7])


class CorpusTest(unittest.TestCase):
    def setUp(self):
        self.made = corpus.conversations(20, 94, 1)

    def test_the_same_seed_gives_the_same_conversations(self):
        self.assertEqual(self.made, corpus.conversations(20, 94, 1))
        self.assertNotEqual(self.made, corpus.conversations(20, 94, 2))

    def test_there_are_as_many_of_each_as_asked_for(self):
        counted = Counter(conversation.topic for conversation in self.made)
        self.assertEqual(counted.pop(0), 20)
        self.assertEqual(set(counted.values()), {2})
        self.assertEqual(len(counted), len(corpus.topics()) - 1)

    def test_tokens_and_steps_are_the_whole_answer(self):
        for conversation in self.made:
            self.assertEqual("".join(text for text, _ in corpus.tokens(conversation.answer)), conversation.answer)
            self.assertEqual("".join(text for _, text, _ in engine.steps(conversation, 1)), conversation.answer)

    def test_no_answer_is_given_twice(self):
        self.assertEqual(len({conversation.answer for conversation in self.made}), len(self.made))


class FeaturesTest(unittest.TestCase):
    SEEN = [(0.0, UP, 200), (0.0, DOWN, 39), (0.1, UP, 900), (0.2, DOWN, 500), (0.25, UP, 35), (0.3, DOWN, 370)]

    def test_a_view_has_what_it_may_use(self):
        trace = features.Trace.of(self.SEEN)
        self.assertEqual(trace.up, [(0.0, 200), (0.1, 900)])
        self.assertEqual(trace.down, [(0.2, 500), (0.3, 370)])
        later = features.Trace.of([(t * 3, way, size) for t, way, size in self.SEEN])
        self.assertEqual(features.sizes(trace), features.sizes(later))
        self.assertNotEqual(features.sizes_and_times(trace), features.sizes_and_times(later))
        longer = features.Trace.of([*self.SEEN, (0.4, DOWN, 380)])
        self.assertEqual(features.requests(trace), features.requests(longer))


    def test_padding_is_the_protocols(self):
        vectors = json.loads((Path(__file__).parents[2] / "testdata" / "padding.json").read_text())
        buckets = [vector for vector in vectors if vector["mode"] == "bucket"]
        self.assertGreater(len(buckets), 10)
        for vector in buckets:
            self.assertEqual(features.padme(max(vector["length"], 256)), vector["padded"], vector)
        around = features.AROUND
        trace = features.Trace([], [(0.0, 104), (0.1, 200 + around), (0.2, 290 + around)])
        self.assertEqual(features.repadded(trace, 256, 1).down, [(0.0, 104), (0.1, 256 + around), (0.2, 304 + around)])
        self.assertEqual(features.repadded(trace, 256, 256).down, [(0.0, 104), (0.1, 256 + around), (0.2, 512 + around)])


class AttackTest(unittest.TestCase):
    def setUp(self):
        self.made = corpus.conversations(80, 470, 1)
        self.labels = np.asarray([int(c.target) for c in self.made])
        self.groups = np.asarray([c.variant if c.target else f"topic {c.topic}" for c in self.made])

    def test_no_group_is_on_both_sides(self):
        data = attack.Data(np.zeros((len(self.made), 1)), None, self.labels, self.groups)
        tested = []
        for train, test in attack._folds(data, np.arange(len(self.made)), attack.FOLDS, 0):
            self.assertFalse(set(self.groups[train]) & set(self.groups[test]))
            self.assertGreater(self.labels[test].sum(), 0)
            tested += list(test)
        self.assertEqual(sorted(tested), list(range(len(self.made))))

    def test_it_finds_what_is_there_and_nothing_else(self):
        told = attack.Seen([features.Sample([float(c.target)], Counter()) for c in self.made])
        self.assertGreater(attack.attack(told, self.labels, self.groups, range(1)).mean, 0.99)
        self.assertLess(attack.control(told, self.labels, self.groups, range(2)).mean, 0.3)


if __name__ == "__main__":
    unittest.main()
