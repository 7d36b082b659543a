"""What the foveating model works out without an engine: where tokens stand, and how that reaches `forward`."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from saccade.errors import ConfigError
from tests.engines.conftest import needs_vllm

pytestmark = [needs_vllm, pytest.mark.filterwarnings("ignore")]  # of what vLLM imports


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rows_and_columns_are_exact_in_any_precision(dtype: torch.dtype) -> None:
    """Beyond 256, where bfloat16 has no odd numbers left; beside images and text of the same step; and gone after."""
    from saccade.engines.vllm_plugin.after_tower import INTEGERS, Foveating

    class Family:
        def embed_input_ids(self, input_ids: Any, multimodal_embeddings: Any, **kwargs: Any) -> Any:
            assert all(rows.shape[1] == 8 for rows in multimodal_embeddings or ())
            return torch.zeros(len(input_ids), 8)

        def forward(self, input_ids: Any, positions: Any, intermediate_tensors: Any, inputs_embeds: Any) -> Any:
            return positions.clone()

    class Model(Foveating, Family):
        def __init__(self) -> None:
            self._row_width, self._moved = 8, False
            self._offsets, self._places = (torch.zeros(3, 1001, dtype=torch.int64) for _ in range(2))

    model, cells = Model(), torch.stack([torch.arange(400) * 7 % 3001, torch.arange(400) * 5], -1)
    bits = cells.to(INTEGERS[dtype.itemsize]).view(dtype)
    chosen, plain = torch.cat([torch.randn(400, 8, dtype=dtype), bits], 1), torch.randn(5, 8, dtype=dtype)
    mask = torch.zeros(1000, dtype=torch.bool)
    mask[10:15] = mask[100:500] = True
    positions = torch.arange(1000).expand(3, -1)
    embeds = model.embed_input_ids(torch.zeros(1000), [plain, chosen[:150], chosen[150:]], is_multimodal=mask)
    moved = model.forward(None, positions, None, embeds) - positions
    assert torch.equal(moved[1:, 100:500], cells.T) and not moved[0].any()
    assert not moved[:, :100].any() and not moved[:, 500:].any()
    assert torch.equal(model.forward(None, positions, None, None), positions)
    embeds = model.embed_input_ids(torch.zeros(600), [plain], is_multimodal=mask[:600])
    assert torch.equal(model.forward(None, positions[:, :600], None, embeds), positions[:, :600])


def test_positions_are_the_family_s_for_all_tokens() -> None:
    """Two selected images, one with its tokens not chosen yet, a video and generated tokens: less what was dropped."""
    from vllm.model_executor.models.qwen2_5_vl import Qwen2_5_VLForConditionalGeneration
    from vllm.multimodal.inputs import MultiModalFeatureSpec, PlaceholderRange

    from saccade.engines.vllm_plugin.after_tower import Foveating
    from saccade.engines.vllm_plugin.pixels import INDEX

    class Model(Foveating, Qwen2_5_VLForConditionalGeneration):
        pass

    def feature(modality: str, offset: int, length: int, grid: list[int], **more: torch.Tensor) -> Any:
        data = {f"{modality}_grid_thw": torch.tensor(grid), **more}
        told: Any = {key: SimpleNamespace(data=value) for key, value in data.items()}
        return MultiModalFeatureSpec(told, modality, "", PlaceholderRange(offset=offset, length=length))

    model = Model.__new__(Model)
    vision = SimpleNamespace(spatial_merge_size=2, tokens_per_second=2.0)
    model.__dict__["config"] = SimpleNamespace(vision_config=vision)
    index = torch.tensor([1, 5, 299 + 300, 300])
    features = [
        feature("image", 2, 4, [1, 4, 600], **{INDEX: index}),
        feature("video", 8, 8, [2, 4, 4]),
        feature("image", 17, 3, [1, 6, 4], **{INDEX: torch.tensor([-1, -1, -1])}),
    ]
    positions, delta = model.get_mrope_input_positions([7] * 22, features)
    tokens = [7] * (22 + 596 + 3)
    whole = [
        feature("image", 2, 600, [1, 4, 600]),
        features[1],
        feature("image", 613, 6, [1, 6, 4]),
    ]
    whole[1] = feature("video", 604, 8, [2, 4, 4])
    own, own_delta = Qwen2_5_VLForConditionalGeneration.get_mrope_input_positions(model, tokens, whole)
    assert torch.equal(positions[:, 2:6], own[:, 2:602][:, index]) and torch.equal(positions[:, :2], own[:, :2])
    assert torch.equal(positions[:, 6:17], own[:, 602:613]) and torch.equal(positions[:, 20:], own[:, 619:])
    assert torch.equal(positions[:, 17:20], own[:, 613:614].expand(3, 3))
    assert 22 + delta == len(tokens) + own_delta == int(own.max()) + 1
    assert int(positions[0, 6]) == 2 + 300, "text stands behind the longer side of the whole image"
    resumed, same_delta = model.get_mrope_input_positions([7] * 25, features)
    assert torch.equal(resumed[:, :22], positions) and same_delta == delta
    assert resumed[:, 22:].tolist() == [[22 + delta, 23 + delta, 24 + delta]] * 3


def test_what_a_server_is_started_with_is_refused_at_once(qwen2_5_vl: Path) -> None:
    """Before any engine: a ValueError there would be taken for a model that knows no images, served as text alone."""
    from vllm.engine.arg_utils import AsyncEngineArgs

    from saccade.engines.vllm_plugin import PREFIX, start

    start.prepare()
    for given, message in (({"tokens": 0}, "greater than or equal to 1"), ({"tokens": 9, "sampler": "nope"}, "'nope'")):
        arguments = AsyncEngineArgs(
            model=str(qwen2_5_vl),
            hf_overrides={"architectures": [f"{PREFIX}Qwen2_5_VLForConditionalGeneration"]},
            dtype="float32",
            mm_processor_kwargs={"saccade": given},
        )
        with pytest.raises(ConfigError, match=f"for all requests: mm_processor_kwargs 'saccade': .*{message}"):
            arguments.create_model_config()
