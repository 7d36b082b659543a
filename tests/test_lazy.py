"""Episodes that encode windows where they look: what is valid, what is shown, what is charged, what is refused."""

import pytest
import torch

from pipelines.execute.in_process import _Once
from saccade.api import Eye
from saccade.config import Episode
from saccade.engines.hf import HF, HFEngine
from saccade.episode import episodes, run, see
from saccade.errors import ConfigError
from saccade.geometry.grid import in_boxes
from saccade.picture import Picture
from saccade.types import Part, Question, Trace
from tests import tiny

LAZY = Episode(encoder="lazy", fixations=2, budget={"name": "fixed", "tokens": 6}, stop_at=2.0)
ASKED = [Question("a", "total?"), Question("b", "Who signed?")]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory):
    folder = tiny.qwen2_5_vl(tmp_path_factory.mktemp("lazy"))
    with HF(model=str(folder), max_new_tok=4).open() as opened:
        yield opened


def page() -> Picture:
    return Picture.open(tiny.page(640, 420))  # 12 x 19 tokens, in windows of 2 x 2


def test_only_encoded_windows_are_shown_and_only_they_are_paid(engine: HFEngine) -> None:
    seen = see(LAZY, engine, page(), ASKED[:1])
    assert seen.lazy is not None and not seen.lazy.encoded.any()
    coarse = seen.encoder_patches
    (trace,) = run(episodes(LAZY, seen), engine)
    encoded = seen.lazy.encoded
    assert trace.shown.any() and not (trace.shown & ~encoded).any()
    assert trace.cost.encoder_patches == coarse + 4 * int(encoded.sum())
    assert coarse < trace.cost.encoder_patches < seen.full_patches == 12 * 19 * 4
    assert trace.cost.encoder_passes == pytest.approx(trace.cost.encoder_patches / seen.full_patches)
    asked = torch.stack(
        [
            in_boxes(seen.encoding.grid, [(x - 0.125, y - 0.125, x + 0.125, y + 0.125)])
            for x, y in (step.gaze.uv for step in trace.steps)
        ]
    ).any(0)
    row, col = seen.encoding.grid.row, seen.encoding.grid.col
    windows = set(zip((row[asked] // 2).tolist(), (col[asked] // 2).tolist(), strict=True))
    expected = [(r // 2, c // 2) in windows for r, c in zip(row.tolist(), col.tolist(), strict=True)]
    assert encoded.tolist() == expected, "the windows that the squares around the gazes touch, and no other"


def test_what_a_look_shows_is_what_the_windows_gave(engine: HFEngine) -> None:
    canvases = []

    class Spy(HFEngine):
        def read_many(self, asks):
            canvases.extend(canvas for canvas, _ in asks)
            return super().read_many(asks)

    seen = see(LAZY, engine, page(), ASKED[:1])
    (trace,) = run(episodes(LAZY, seen), Spy(engine.family, engine.spec))
    again, made = engine.windows(engine.prepare(page())), {}
    for step, part in zip(trace.steps, canvases[-1].parts, strict=True):
        x, y = step.gaze.uv
        box = (x - 0.125, y - 0.125, x + 0.125, y + 0.125)
        index, tokens, _, _ = again.encode(in_boxes(seen.encoding.grid, [box]))
        made |= dict(zip(index.tolist(), tokens, strict=True))
        expected = torch.stack([made[cell] for cell in step.selection.index.tolist()])
        torch.testing.assert_close(part.tokens, expected, rtol=1e-5, atol=1e-5)


def test_a_square_over_the_page_reads_like_the_full_encoding(engine: HFEngine) -> None:
    """One look at everything: the same answer, token by token, as without --encoder lazy."""
    lazy = see(LAZY, engine, page(), ASKED[:1])
    assert lazy.lazy is not None
    (whole,) = engine.encode([engine.prepare(page())])
    lazy.lazy._encode(torch.ones(len(whole), dtype=torch.bool))
    torch.testing.assert_close(Part.of(lazy.lazy.encoding).wide, Part.of(whole).wide, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(lazy.lazy.encoding.received, whole.received, rtol=1e-4, atol=1e-6)
    assert lazy.lazy.encoded.all()


def test_questions_share_windows_and_pay_for_their_own(engine: HFEngine) -> None:
    seen = see(LAZY, engine, page(), ASKED)
    traces = run(episodes(LAZY, seen), engine)
    assert seen.lazy is not None
    total = sum(trace.cost.encoder_patches for trace in traces)
    assert total == seen.encoder_patches + 4 * int(seen.lazy.encoded.sum()), "nothing is paid twice or forgotten"
    shared = LAZY.with_settings(canvas="shared")
    seen = see(shared, engine, page(), ASKED)
    traces = run(episodes(shared, seen), engine)
    assert seen.lazy is not None
    assert [trace.cost.encoder_patches for trace in traces[1:]] == [0]
    assert traces[0].cost.encoder_patches == seen.encoder_patches + 4 * int(seen.lazy.encoded.sum())


def test_parts_of_other_windows_have_other_keys(engine: HFEngine) -> None:
    """The same cell encoded before and after another window is not the same token: caches must not mix them."""
    keys = []
    for order in ([0, 200], [200, 0]):
        lazy = see(LAZY, engine, page(), ASKED[:1]).lazy
        assert lazy is not None
        for cell in order:
            wanted = torch.zeros(len(lazy.encoded), dtype=torch.bool)
            wanted[cell] = True
            lazy._encode(wanted)
            keys.append(Part.of(lazy.encoding).key)
    assert len(set(keys)) == 4


def test_with_a_glimpse_on_the_canvas_and_the_same_twice(engine: HFEngine) -> None:
    settings = LAZY.with_settings(glimpse=12)
    traces = [Eye(engine, settings).look(tiny.page(640, 420), "total?") for _ in range(2)]
    assert traces[0].answer.visual_tok <= 12 + 2 * 6 and len(traces[0].steps) == 3
    assert [step.gaze.uv for step in traces[0].steps] == [step.gaze.uv for step in traces[1].steps]
    assert traces[0].answer.logprobs == pytest.approx(traces[1].answer.logprobs, rel=1e-4)


def test_variants_of_an_experiment_start_from_nothing_encoded(engine: HFEngine) -> None:
    """Its engine encodes each view once for all variants; windows are encoded and paid by each that looks lazily."""
    once = _Once(engine, lambda: None)
    whole = see(LAZY.with_settings(encoder="full"), once, page(), ASKED[:1])
    paid = []
    for _ in range(2):
        seen = see(LAZY, once, page(), ASKED[:1])
        (trace,) = run(episodes(LAZY, seen), engine)
        paid.append(trace.cost.encoder_patches)
    assert whole.lazy is None and paid[0] == paid[1] > seen.encoder_patches


@pytest.mark.parametrize("settings", [{"sampler": "full"}, {"sampler": "resize"}, {"sampler": "random"}, {"levels": 2}])
def test_what_needs_the_whole_image_is_refused(settings: dict) -> None:
    with pytest.raises(ConfigError, match="needs the whole image"):
        Episode(encoder="lazy", **settings)


def test_refused_where_encoder_and_planner_are_apart() -> None:
    with pytest.raises(ConfigError, match="one process"):
        LAZY.check_engine(None, together=False)
    LAZY.check_engine(HF())


def test_the_rest_of_a_page_is_encoded_before_it_is_shown(engine: HFEngine) -> None:
    settings = LAZY.with_settings(rest="all", fixations=1)
    seen = see(settings, engine, page(), ASKED[:1])
    (trace,) = run(episodes(settings, seen), engine)
    assert isinstance(trace, Trace) and trace.shown.all()
    assert seen.lazy is not None and seen.lazy.encoded.all(), "nothing stands in for what is shown"
