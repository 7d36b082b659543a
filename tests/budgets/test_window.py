"""The budget from the context window, by hand."""

import pytest
import torch

from saccade.budgets.window import Window
from saccade.errors import ConfigError
from saccade.types import Scene
from tests.helpers import item


def scene_of(words: int) -> Scene:
    return Scene.of([item(2, 2, words=torch.zeros(words, 6))])


def test_what_fits_beside_the_text():
    window = Window(max_model_len=1000, reserve=100, fixations=3)
    assert window(scene_of(30)) == [290]  # (1000 - 100 - 30) / 3
    assert window(scene_of(31)) == [289]
    assert window.most_tok == 300 and window(scene_of(5000)) == [1]
    assert Window(max_model_len=1000, reserve=100, most=64)(scene_of(30)) == [64]


def test_questions_of_a_batch_are_counted_each():
    both = Scene.of([item(2, 2, words=torch.zeros(30, 6)), item(3, 3, words=torch.zeros(3, 6))])
    assert Window(max_model_len=1000, reserve=100)(both) == [290, 299]


def test_a_window_without_room_is_refused():
    with pytest.raises(ConfigError, match="leaves no visual token for each of 3 fixations"):
        Window(max_model_len=100, reserve=98)
