"""A training that is stopped ends as one that was not, and its folder belongs to it."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from saccade.errors import ResumeRefused
from saccade.training.resumable import claim, course, kept_lines, picked


def module():
    torch.manual_seed(0)
    return nn.Linear(2, 1)


def run(folder, made, steps=20, stop_at=None, unit=1):
    """y = 3 x0 - x1 on inputs that depend on the step; Ctrl-C arrives in step `stop_at`."""

    def loss_of(step):
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        x = torch.randn(8, 2, generator=torch.Generator().manual_seed(step))
        wanted = 3 * x[:, :1] - x[:, 1:]
        return (made(x) - wanted).square().mean(), {"twice": 2.0 * step}

    return course({"made": made}, loss_of, folder, steps=steps, rate=0.3, unit=unit)


def test_interrupted_and_gone_on_with_is_the_same(tmp_path):
    whole, parts = module(), module()
    curve = run(tmp_path / "whole", whole)
    with pytest.raises(KeyboardInterrupt, match="after 8 of 20 steps: the same command goes on"):
        run(tmp_path / "parts", parts, stop_at=7)
    again = module()
    assert run(tmp_path / "parts", again) == curve
    assert torch.equal(again.weight, whole.weight) and torch.equal(again.bias, whole.bias)
    lines = [json.loads(line) for line in (tmp_path / "parts" / "curve.jsonl").read_text().splitlines()]
    assert lines == curve and [line["step"] for line in lines] == list(range(20))
    assert curve[-1]["loss"] < 0.3 * curve[0]["loss"] and curve[3]["twice"] == 6
    assert not again.training


def test_it_stops_after_a_whole_unit_only(tmp_path):
    with pytest.raises(KeyboardInterrupt, match="after 9 of 20"):
        run(tmp_path, module(), stop_at=6, unit=3)


def test_lines_behind_the_saved_state_are_done_again(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, module(), stop_at=4)
    with (tmp_path / "curve.jsonl").open("a") as file:
        file.write('{"step": 5, "loss": 99.0}\n{"step": 6, "lo')  # a kill cut it off
    curve = run(tmp_path, module())
    assert [line["step"] for line in curve] == list(range(20)) and curve[5]["loss"] != 99


def test_a_folder_belongs_to_one_training(tmp_path):
    claim(tmp_path, {"rate": 0.1, "data": "a"})
    claim(tmp_path, {"rate": 0.1, "data": "a"})
    claim(tmp_path / "b", {"training": {"rate": 0.1, "read": 4, "cache": "a"}})
    claim(tmp_path / "b", {"training": {"rate": 0.1, "read": 99, "cache": "b"}})  # these change no weight
    with pytest.raises(ResumeRefused, match="rate: 0.1 -> 0.2"):
        claim(tmp_path, {"rate": 0.2, "data": "a"})


def test_a_kill_while_a_folder_is_claimed_leaves_it_usable(tmp_path, monkeypatch):
    def killed(file, text, encoding=None):
        with file.open("w") as out:
            out.write(text[: len(text) // 2])
        raise KeyboardInterrupt

    claim(tmp_path, {"a": 1})
    monkeypatch.setattr(Path, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        claim(tmp_path, {"a": 1})
    monkeypatch.undo()
    claim(tmp_path, {"a": 1})
    with pytest.raises(ResumeRefused):
        claim(tmp_path, {"a": 2})


def test_every_example_is_taken_once_before_any_is_taken_again():
    first = [picked(5, step, seed=3) for step in range(10)]
    assert sorted(first[:5]) == sorted(first[5:]) == list(range(5)) and first[:5] != first[5:]
    assert first == [picked(5, step, seed=3) for step in range(10)]


def test_a_line_that_a_kill_cut_off_goes_and_the_file_can_be_added_to(tmp_path):
    file = tmp_path / "lines.jsonl"
    assert kept_lines(file) == []
    file.write_text('{"n": 1}\n{"n": 2}\n{"n": ')
    assert kept_lines(file) == [{"n": 1}, {"n": 2}]
    with file.open("a") as out:
        out.write('{"n": 3}\n')
    assert kept_lines(file) == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert kept_lines(file, lambda line: line["n"] < 2) == [{"n": 1}]
    assert file.read_text() == '{"n": 1}\n'
