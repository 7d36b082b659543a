"""What a reading shows is what the sampler takes, and its scores are called by the questions' own metric."""

from types import SimpleNamespace

import torch

from saccade.training import reading
from saccade.training.reading import best, read_pages, taken
from saccade.types import Question, Scene
from tests.helpers import item


def test_the_best_are_those_of_topk_and_padding_is_none() -> None:
    scene = Scene.of([item(1, 4), item(1, 3, seed=1)])
    worth = torch.tensor([[0.2, 0.9, 0.2, 0.5], [1.0, 2.0, 2.0, 99.0]])  # the last of the second image is padding
    assert [index.tolist() for index in best(lambda _: worth, scene, 2)] == [[1, 3], [1, 2]]
    assert [index.tolist() for index in taken(worth, scene, 3)] == [[0, 1, 3], [0, 1, 2]], "the earlier of equals"
    assert [len(index) for index in taken(worth, scene, 9)] == [4, 3]


def test_scores_are_called_by_the_metric(monkeypatch) -> None:
    monkeypatch.setattr(reading, "read_answer", lambda *given: 0.5)
    asked = tuple((Question(name, "?", ("x",), metric="vqa"), None) for name in "abc")
    pages = [SimpleNamespace(image_id="page", asked=asked)]
    found = read_pages(None, pages, lambda page, number: None, 2)
    assert found.scores == (0.5, 0.5) and found.metric == "VQA accuracy"
