"""The largest grid of a budget, and the prompt around an image."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saccade.errors import ConfigError
from saccade.families import largest_grid
from saccade.families._prompt import around_image, open_tokenizer
from tests import tiny


def test_largest_grid_by_hand() -> None:
    assert largest_grid(64, 64, 273) == (16, 17)  # one cell off in 16
    assert largest_grid(64, 64, 271) == (16, 16)
    assert largest_grid(88, 68, 273) == (19, 14)  # letter paper: 266 tokens
    assert largest_grid(1, 1, 1) == (1, 1)
    assert largest_grid(1, 100, 30) == (1, 30)  # nothing is true to that aspect: the closest


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 150))
def test_no_larger_grid_is_true(rows: int, cols: int, budget: int) -> None:
    def true(height: int, width: int) -> bool:
        return abs(math.log(width * rows / height / cols)) <= math.log1p(1 / min(height, width)) + 1e-9

    height, width = largest_grid(rows, cols, budget)
    assert 1 <= height * width <= budget
    larger = [
        (h, w) for h in range(1, budget + 1) for w in range(1, budget // h + 1) if h * w > height * width and true(h, w)
    ]
    assert not larger


def test_the_prompt_is_tokenized_in_one_piece() -> None:
    words = tiny.tokenizer()
    head, tail = around_image(words, "Why?", words.convert_tokens_to_ids("<|image_pad|>"))
    assert words.decode(head) == "<|im_start|>user\n<|vision_start|>"
    assert words.decode(tail) == "<|vision_end|>Why?<|im_end|>\n<|im_start|>assistant\n"


def test_a_template_without_images_is_refused() -> None:
    words = tiny.tokenizer()
    words.chat_template = "{% for message in messages %}{{ message.content[-1].text }}{% endfor %}"
    with pytest.raises(ConfigError, match="no place for an image"):
        around_image(words, "Why?", words.convert_tokens_to_ids("<|image_pad|>"))


def test_where_the_template_is_found(tmp_path: Path) -> None:
    words = tiny.tokenizer()
    words.chat_template = None
    words.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    assert open_tokenizer(str(tmp_path), "default").chat_template == "default"
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": "beside"}))
    assert open_tokenizer(str(tmp_path), "default").chat_template == "beside"
