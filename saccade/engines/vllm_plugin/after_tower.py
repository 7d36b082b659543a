"""Foveation of ordinary images inside vLLM, in the worker: rows of the tower's output are kept, at true positions.

Text after an image stands where it would stand after all of its tokens, whichever were kept, so everything but the
kept tokens' own row and column is known when a request is scheduled. Where the picture decided, these are known too.
Where the tower decides, each embedding carries its row and column in two columns after it, as the bits of integers
that no arithmetic touches, through vLLM's encoder cache; `forward` adds them to the positions.
"""

import dataclasses
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from saccade.engines.vllm_plugin.before_tower import embed
from saccade.engines.vllm_plugin.foveation import Foveation, choose, scene_of, unpack, weigh
from saccade.engines.vllm_plugin.pixels import BASE, INDEX, PLAN, SPARSE
from saccade.families._received import received
from saccade.geometry.grid import plain_grid
from saccade.types import Encoding, Grid

CELL = 2  # columns after an embedding: row and column
REMEMBERED = 8192  # selections: an image that is encoded again keeps the tokens whose keys and values are cached
INTEGERS = {2: torch.int16, 4: torch.int32}  # of the embeddings' own size in bytes


class Foveating:
    """A mixin before a family's model. Images without INDEX, videos and embeddings are the family's own."""

    config: Any
    visual: Any

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)  # type: ignore[call-arg]
        if vllm_config.model_config.get_multimodal_config().get_limit_per_prompt("image"):
            _check(vllm_config)
        text, vision = self.config.get_text_config(), self.config.vision_config
        self._row_width = text.hidden_size * (1 + len(getattr(vision, "deepstack_visual_indexes", None) or ()))
        self._step_tok = vllm_config.scheduler_config.max_num_batched_tokens
        # One column more than is ever used keeps slices from being contiguous, as the runner's own positions are.
        self._offsets, self._places = (torch.zeros(3, self._step_tok + 1, dtype=torch.int64) for _ in range(2))
        self._moved = False
        self._known: OrderedDict[bytes, Tensor] = OrderedDict()

    def get_encoder_cudagraph_config(self) -> Any:
        """As the family's, for videos alone: graphs bypass `embed_multimodal`."""
        config = super().get_encoder_cudagraph_config()  # type: ignore[misc]
        return dataclasses.replace(config, modalities=[name for name in config.modalities if name != "image"])

    def get_mrope_input_positions(self, input_tokens: list[int], mm_features: list[Any]) -> tuple[Tensor, int]:
        """(3, tokens) positions and the offset of those that follow: the family's for all tokens, less the dropped."""
        if not any(feature.data is not None and INDEX in feature.data for feature in mm_features):
            return super().get_mrope_input_positions(input_tokens, mm_features)  # type: ignore[misc,no-any-return]
        merge = int(self.config.vision_config.spatial_merge_size)
        tokens, features, places, more = unabridged(input_tokens, mm_features, merge)
        positions, delta = super().get_mrope_input_positions(tokens, features)  # type: ignore[misc]
        return positions[:, places], delta + more

    def embed_multimodal(self, **kwargs: Any) -> Any:
        """As the family's, for selected images the rows that are kept; with row and column where the tower chose."""
        index = kwargs.pop(INDEX, None)
        if index is None:
            return super().embed_multimodal(**kwargs)  # type: ignore[misc]
        plans, bases = kwargs.pop(PLAN, None), kwargs.pop(BASE, None)
        grids, pixels = kwargs["image_grid_thw"], kwargs["pixel_values"]
        if kwargs.pop(SPARSE, None) is not None:
            return self._sparse(pixels, grids.tolist(), list(index))
        merge = self.visual.spatial_merge_size
        embeddings: list[Tensor] = []
        for some in _passes((grids.prod(-1) // merge**2).tolist(), self._step_tok):
            requests = [unpack(plans[i]) if plans is not None and len(plans[i]) else None for i in some]
            patches = grids[: some[0]].prod(-1).sum(), grids[: some[-1] + 1].prod(-1).sum()
            with self._listening([plan[0] for plan in requests if plan]) as heard:
                rows = super().embed_multimodal(  # type: ignore[misc]
                    **{**kwargs, "pixel_values": pixels[patches[0] : patches[1]], "image_grid_thw": grids[some]}
                )
            encodings = self._encodings(rows, grids[some], heard) if any(requests) else [None] * len(some)
            for number, row, plan, encoding in zip(some, rows, requests, encodings, strict=True):
                if plan is None or encoding is None:
                    kept_cells = index[number]
                    embeddings.append(row if len(kept_cells) == len(row) else row[kept_cells.to(row.device)])
                else:
                    chosen = self._chosen(bytes(plans[number].tolist()), *plan, encoding, bases[number])
                    cells = torch.stack([encoding.grid.row[chosen], encoding.grid.col[chosen]], -1)
                    bits = cells.to(row.device, INTEGERS[row.element_size()]).view(row.dtype)
                    embeddings.append(torch.cat([row[chosen.to(row.device)], bits], -1))
        return embeddings

    def _sparse(self, pixels: Tensor, grids: list[list[int]], index: list[Tensor]) -> list[Tensor]:
        """The tokens of images whose pixels are those of the kept tokens alone."""
        embeddings, at, unit = [], 0, int(self.visual.spatial_merge_size) ** 2
        for some in _passes([len(cells) for cells in index], self._step_tok):
            cells = [index[number] for number in some]
            end = at + sum(map(len, cells)) * unit
            embeddings += embed(self.visual, pixels[at:end], [grids[number] for number in some], cells)
            at = end
        return embeddings

    def embed_input_ids(self, input_ids: Tensor, multimodal_embeddings: Any = None, **kwargs: Any) -> Tensor:
        """As the family's; what the embeddings carry after them is kept for `forward`."""
        if self._moved:
            self._offsets.zero_()
            self._moved = False
        if any(rows.shape[-1] > self._row_width for rows in multimodal_embeddings or ()):
            cells = torch.cat([self._cells(rows) for rows in multimodal_embeddings])
            here = kwargs["is_multimodal"].nonzero().flatten()  # of a tensor on the CPU: no wait for the GPU
            self._offsets[1:, here.to(self._offsets.device)] = cells.T
            self._moved = True
            multimodal_embeddings = [rows[:, : self._row_width] for rows in multimodal_embeddings]
        return super().embed_input_ids(input_ids, multimodal_embeddings, **kwargs)  # type: ignore[misc,no-any-return]

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: Any = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """As the family's, tokens that the tower chose at their row and column."""
        if inputs_embeds is not None and positions.ndim == 2:
            # Without a branch on what this step holds: in a captured graph it would be taken as it was then.
            here = slice(positions.shape[1])
            positions = torch.add(positions, self._offsets[:, here], out=self._places[:, here])
        return super().forward(input_ids, positions, intermediate_tensors, inputs_embeds, **kwargs)  # type: ignore[misc]

    def _cells(self, rows: Tensor) -> Tensor:
        """(K, 2) int64: the row and column after each embedding, 0 where there are none."""
        if rows.shape[-1] == self._row_width:
            return self._offsets.new_zeros(len(rows), CELL)
        bits = rows[:, self._row_width :].contiguous()
        return bits.view(INTEGERS[bits.element_size()]).to(self._offsets.device, torch.int64)

    @contextmanager
    def _listening(self, requests: Sequence[Foveation]) -> Iterator[dict[str, Any]]:
        """While the tower runs: its states before the merger, and queries and keys of the last full attention."""
        heard: dict[str, Any] = {}
        tower, handles = self.visual, []
        if requests:
            blocks = getattr(tower, "fullatt_block_indexes", None) or [len(tower.blocks) - 1]
            last = tower.blocks[max(i for i in blocks if i < len(tower.blocks))].attn.attn

            def before_merger(_: Any, args: tuple[Tensor, ...]) -> None:
                heard["features"] = args[0].flatten(0, -2)

            def in_attention(_: Any, args: Any, kwargs: dict[str, Any]) -> None:
                heard["query"], heard["key"] = kwargs["query"], kwargs["key"]

            # The merger and the blocks themselves are called around their hooks (vLLM may compile them).
            norm = getattr(tower.merger, "ln_q", None) or tower.merger.norm
            handles.append(norm.register_forward_pre_hook(before_merger))
            if any("received" in foveation.needs for foveation in requests):
                handles.append(last.register_forward_pre_hook(in_attention, with_kwargs=True))
        try:
            yield heard
        finally:
            for handle in handles:
                handle.remove()

    def _encodings(self, rows: Sequence[Tensor], grids: Tensor, heard: dict[str, Any]) -> list[Encoding]:
        """What the tower made of some images, as scorers see it."""
        merge, patch_px = int(self.visual.spatial_merge_size), int(self.config.vision_config.patch_size)
        encodings, at = [], 0
        for row, (_, height, width) in zip(rows, grids.tolist(), strict=True):
            grid = plain_grid(height // merge, width // merge, width * patch_px, height * patch_px)
            patches, at = slice(at, at + height * width), at + height * width
            raster: Any = slice(None)
            if hasattr(self.visual, "get_window_index_thw"):  # up to its merger, tokens are in the order of windows
                raster = self.visual.get_window_index_thw(1, height, width)[0].argsort().to(row.device)
            features = heard["features"][patches].unflatten(0, (-1, merge**2))[raster]
            attention = torch.zeros(len(row), device=row.device)
            if "query" in heard:
                attention = self._received(heard["query"][0, patches], heard["key"][0, patches])
                attention = attention.view(-1, merge**2).sum(-1)[raster]
            tokens = row[:, : self.config.get_text_config().hidden_size]
            encodings.append(Encoding(tokens, features, attention, grid, "", "", height * width))
        return encodings

    def _received(self, query: Tensor, key: Tensor) -> Tensor:
        """(patches,) float32 attention received; query and key (patches, this worker's heads, head width)."""
        from vllm.distributed import get_tensor_model_parallel_world_size, tensor_model_parallel_all_reduce

        attention = received(query.transpose(0, 1), key.transpose(0, 1), query.shape[-1] ** -0.5)
        workers = get_tensor_model_parallel_world_size()
        return attention if workers == 1 else tensor_model_parallel_all_reduce(attention) / workers

    def _chosen(self, name: bytes, foveation: Foveation, picture: Any, encoding: Encoding, base: Tensor) -> Tensor:
        """(K,) int64 on the CPU: the tokens kept of one image, the same ones whenever it is encoded again."""
        grid: Grid = encoding.grid
        name += f"{grid.rows}x{grid.cols}".encode()
        if name not in self._known:
            scores = weigh(foveation.late(), scene_of(picture, grid, encoding)).cpu() + base
            self._known[name] = choose(foveation, picture, grid, scores, encoding)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(name)
        return self._known[name]


def unabridged(
    input_tokens: Sequence[int], mm_features: Sequence[Any], merge: int
) -> tuple[list[int], list[Any], Tensor, int]:
    """A prompt as if its selected images had all of their tokens.

    Its tokens, its features, which of its tokens (tokens,) are in the prompt, and how many more it has. Where the tower
    has yet to choose, the first token of the image stands for each of its tokens.
    """
    tokens: list[int] = []
    features: list[Any] = []
    places: list[Tensor] = []
    at = more = 0
    for feature in sorted(mm_features, key=lambda feature: feature.mm_position.offset):
        place = feature.mm_position
        selected = feature.data is not None and INDEX in feature.data
        index = feature.data[INDEX].data.clamp(min=0) if selected else torch.arange(place.length)
        whole = int(feature.data["image_grid_thw"].data.prod()) // merge**2 if selected else place.length
        start, end = place.offset, place.offset + place.length
        moved = dataclasses.replace(place, offset=start + more, length=whole)
        features.append(dataclasses.replace(feature, mm_position=moved))
        tokens += [*input_tokens[at:start], *input_tokens[start:end], *[input_tokens[start]] * (whole - place.length)]
        places += [torch.arange(at, start) + more, index + start + more]
        at, more = end, more + whole - place.length
    tokens += input_tokens[at:]
    places.append(torch.arange(at, len(input_tokens)) + more)
    return tokens, features, torch.cat(places), more


def _passes(counts: Sequence[int], most_tok: int) -> Iterator[list[int]]:
    """Numbers of images for one pass of the tower: the scheduler counts the tokens kept, the tower pays for all."""
    some: list[int] = []
    for number, count in enumerate(counts):
        if some and sum(counts[i] for i in some) + count > most_tok:
            yield some
            some = []
        some.append(number)
    yield some


def _check(vllm_config: Any) -> None:
    """Raises ValueError: a setting with which positions chosen by the tower would not arrive."""
    speculative = vllm_config.speculative_config
    parallel = vllm_config.parallel_config
    if parallel.pipeline_parallel_size > 1 or parallel.prefill_context_parallel_size > 1 or parallel.use_ubatching:
        raise ValueError(
            "saccade's models read no pixels with pipeline, context or micro-batch parallelism: start vLLM without"
        )
    if speculative is not None and speculative.method not in ("ngram", "suffix"):
        raise ValueError(
            "saccade's models read no pixels with a draft model: of speculative methods use ngram or suffix"
        )
    if vllm_config.compilation_config.compile_mm_encoder:
        raise ValueError("saccade's models listen to their vision tower: start vLLM without compile_mm_encoder")
