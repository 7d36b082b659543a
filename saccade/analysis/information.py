"""Information in a page and in its kept tokens, in bits: entropy, mutual information, bottleneck.

Sums over a page of the terms by which the scorers `entropy`, `mutual` and `bottleneck` rank.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from saccade.importance import vectors
from saccade.importance.bottleneck import Bottleneck
from saccade.importance.entropy import Entropy
from saccade.importance.mutual import divergence
from saccade.tokens.similarity import mean_cosine
from saccade.types import Scene


@dataclass(frozen=True, slots=True)
class PageEntropy:
    """Entropies of a page. `spatial` is at most `most` = log2 N, which it reaches if all tokens are equally likely."""

    spatial_bits: float
    most_bits: float
    feature_bits: float  # mean over features, of at most log2 of their bins
    feature_most_bits: float


@dataclass(frozen=True, slots=True)
class QuestionInformation:
    """How much a question tells about where to look."""

    bits: float  # divergence of p(token | question) from the uniform one: 0 tells nothing, log2 N names one token
    most_bits: float
    effective_tok: float  # N / 2^bits: the number of equally likely tokens of the same entropy


@dataclass(frozen=True, slots=True)
class BottleneckPoint:
    """Relevance and redundancy of the tokens that the bottleneck scorer keeps at one budget."""

    keep: int
    bits: float  # of the question's divergence in the kept tokens; can exceed the page's, unlikely tokens count less
    redundancy: float  # mean cosine between two kept tokens


def page_entropy(scene: Scene) -> PageEntropy:
    """Entropies of a scene of one image: `spatial`, the mean of -log2 p over tokens under p, and that of features."""
    spatial, feature = Entropy(of="spatial"), Entropy(of="feature")
    surprise = spatial.raw(scene)[0].double()
    entropy = float((torch.exp2(-surprise) * surprise).sum())
    return PageEntropy(entropy, math.log2(len(surprise)), float(feature.raw(scene)[0].mean()), math.log2(feature.bins))


def question_information(scene: Scene, temperature: float = 1.0) -> QuestionInformation:
    """The divergence of p(token | question) for a scene of one image; the scorer `mutual` ranks by its terms."""
    terms = divergence(scene, temperature)[0].double()
    bits = max(0.0, float(terms.sum()))
    return QuestionInformation(bits, math.log2(len(terms)), len(terms) / 2**bits)


def bottleneck_curve(scene: Scene, keeps: Sequence[int], scorer: Bottleneck | None = None) -> list[BottleneckPoint]:
    """Relevance and redundancy of the best `keeps` tokens of a scene of one image."""
    scorer = scorer or Bottleneck()
    order = scorer.raw(scene)[0].sort(descending=True, stable=True).indices
    terms, values = divergence(scene, scorer.temperature)[0].double(), vectors(scene, scorer.at)[0]
    points = []
    for keep in keeps:
        best = order[:keep]
        alike = mean_cosine(values[best].unsqueeze(0), torch.ones(1, len(best), dtype=torch.bool))
        points.append(BottleneckPoint(len(best), float(terms[best].sum()), float(alike.mean())))
    return points
