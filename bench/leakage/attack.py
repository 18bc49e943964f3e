"""The attacker: learns from conversations of its own and is tried on conversations of others.

The attacker may use the same service, so it knows the target topic, the engine and the mode. It does not know the victim's
wording: the variants of target questions in a test are not in the training. It does not know what else people talk about:
the other topics in a test are not in the training either. Each conversation is scored once, by a model that has seen
neither its variant nor (the target apart) its topic; AUPRC is over all of them.
"""

from dataclasses import dataclass

import lightgbm
import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedGroupKFold

from features import Sample

FOLDS = 5
# A word that fewer conversations have says nothing about others.
COMMON = 12


@dataclass
class Result:
    """AUPRC of each seed, and the share of positives, which is what guessing gets."""

    scores: list[float]
    base: float

    @property
    def mean(self) -> float:
        return float(np.mean(self.scores))

    @property
    def spread(self) -> float:
        """The standard deviation over the seeds."""
        return float(np.std(self.scores, ddof=1)) if len(self.scores) > 1 else 0.0


class Seen:
    """What the models take: numbers for the trees, words for the linear model. A row for each conversation."""

    def __init__(self, samples: list[Sample]):
        self.numbers = np.asarray([sample.numbers for sample in samples], np.float32)
        self.words = None
        if any(sample.words for sample in samples):
            words = DictVectorizer(dtype=np.float32).fit_transform([sample.words for sample in samples])
            self.words = words[:, np.asarray((words > 0).sum(axis=0)).ravel() >= COMMON]


@dataclass
class Data:
    """What was seen, what it is, and what must stay together."""

    numbers: np.ndarray
    words: csr_matrix | None
    labels: np.ndarray
    groups: np.ndarray


def attack(seen: Seen, labels: np.ndarray, groups: np.ndarray, seeds: range) -> Result:
    return _attack(Data(seen.numbers, seen.words, labels, groups), seeds)


def control(seen: Seen, labels: np.ndarray, groups: np.ndarray, seeds: range) -> Result:
    """The same attack on recordings that were dealt out anew: there is nothing to learn, so it has to fail."""
    scores = []
    for seed in seeds:
        dealt = np.random.default_rng(seed).permutation(len(labels))
        words = None if seen.words is None else seen.words[dealt]
        scores += _attack(Data(seen.numbers[dealt], words, labels, groups), range(seed, seed + 1)).scores
    return Result(scores, float(labels.mean()))


def _attack(data: Data, seeds: range) -> Result:
    labels, scores = data.labels, []
    for seed in seeds:
        predicted = np.zeros(len(labels))
        for train, test in _folds(data, np.arange(len(labels)), FOLDS, seed):
            predicted[test] = _learn(data, train, test, seed)
        scores.append(float(average_precision_score(labels, predicted)))
    return Result(scores, float(labels.mean()))


def _folds(data: Data, rows: np.ndarray, count: int, seed: int):
    """No group is on both sides."""
    split = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    for train, test in split.split(rows, data.labels[rows], data.groups[rows]):
        yield rows[train], rows[test]


def _learn(data: Data, train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Odds of the target topic, by the model that does best on a part of the training kept back: trees, linear, or both."""
    inner, kept = next(_folds(data, train, 3, seed))
    tried = _models(data, inner, kept, seed)
    scores = [average_precision_score(data.labels[kept], odds) for odds in tried]
    return _models(data, train, test, seed)[int(np.argmax(scores))]


def _models(data: Data, train: np.ndarray, test: np.ndarray, seed: int) -> list[np.ndarray]:
    # One thread: the machine has other work, and threads that wait for each other are slower than none.
    trees = lightgbm.LGBMClassifier(
        n_estimators=100, learning_rate=0.1, num_leaves=15, min_child_samples=10, colsample_bytree=0.5,
        subsample=0.8, subsample_freq=1, random_state=seed, n_jobs=1, verbosity=-1,
    )  # fmt: skip
    trees.fit(data.numbers[train], data.labels[train])
    by_numbers = _logit(trees.predict_proba(data.numbers[test])[:, 1])
    if data.words is None:
        return [by_numbers]
    weights = TfidfTransformer(sublinear_tf=True).fit(data.words[train])
    linear = LogisticRegression(C=10, class_weight="balanced", max_iter=300)
    linear.fit(weights.transform(data.words[train]), data.labels[train])
    by_words = _logit(linear.predict_proba(weights.transform(data.words[test]))[:, 1])
    return [by_numbers, by_words, by_numbers + by_words]


def _logit(probability: np.ndarray) -> np.ndarray:
    kept = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.log(kept / (1 - kept))
