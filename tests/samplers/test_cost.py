"""What samplers may cost: memory at 16,384 tokens, and that a batch worked on in pieces is the same batch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from saccade.registry import find, names
from saccade.samplers import Sampler, best
from saccade.types import Scene
from tests.helpers import importance_of, item

MOST_MIB = 256
PROBE = """
import ctypes, gc, json, torch
from tests.benchmarks.samplers import KEEP, scene_of, variants
torch.set_num_threads(1)

def status(key):
    return int(next(line for line in open("/proc/self/status") if line.startswith(key)).split()[1]) / 1024

def extra_mib(call):
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed before does not help
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts from here
    held = status("VmRSS")
    call()
    return status("VmHWM") - held

large, small = scene_of(128, 8), scene_of(16, 1)
found = {"probe": extra_mib(lambda: torch.ones(2**26))}  # 256 MiB
for name, sampler in variants([]).items():
    sampler(*small, KEEP)  # what is loaded once is not counted
    found[name] = extra_mib(lambda: sampler(*large, KEEP))
print(json.dumps(found))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is read from Linux's /proc")
def test_16384_tokens_need_less_than_256_mib_more():
    ran = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    found = json.loads(ran.stdout)
    assert 250 < found.pop("probe") < 300
    assert min(found.values()) > 0.5, "a probe that sees nothing"
    assert {"diversity, dpp", *names("samplers")} <= set(found)
    assert {name: extra for name, extra in found.items() if extra >= MOST_MIB} == {}


@pytest.mark.parametrize("name", names("samplers"))
def test_a_batch_in_pieces_is_the_same_batch(name, monkeypatch):
    sampler = find("samplers", name, Sampler)()
    scene = Scene.of([item(5, 9, seed=0), item(6, 6, seed=1), item(7, 3, seed=2)])
    importance, gaze = importance_of(45, 36, 21), torch.tensor([[0.3, 0.6], [0.9, 0.1], [0.5, 0.5]])
    whole = sampler(scene, importance, gaze, 12)
    monkeypatch.setattr(type(sampler), "batch_tok", 90)  # two images, then one
    for one, other in zip(whole, sampler(scene, importance, gaze, 12), strict=True):
        assert torch.equal(one.index, other.index) and torch.equal(one.source, other.source)


def test_best_is_a_stable_sort():
    make = torch.Generator().manual_seed(0)
    for keep in (0, 1, 5, 19, 20, 30):
        level = torch.randint(4, (6, 20), generator=make).float()
        valid = torch.rand(6, 20, generator=make) < torch.tensor([1.0, 0.9, 0.5, 0.2, 0.05, 0]).unsqueeze(1)
        found = best(level, valid, keep)
        for b in range(6):
            order = sorted(valid[b].nonzero().flatten().tolist(), key=lambda i: (-level[b, i], i))  # noqa: B023
            assert found[b].nonzero().flatten().tolist() == sorted(order[:keep])
