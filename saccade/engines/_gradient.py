"""The loss of an answer, differentiable in how much of each visual token the language model is shown.

A mixin of the transformers engine, for trainings of what to show (`saccade.training.joint`).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from saccade.engines._answers import Speech
from saccade.engines._decoder import Decoder, wide
from saccade.families import Family
from saccade.types import Canvas, Part


class Differentiable:
    """The part of the transformers engine that gradients pass through."""

    family: Family
    decoder: Decoder
    speech: Speech
    device: torch.device
    _embed: Callable[[Sequence[int]], Tensor]
    _visual: Callable[[Part], Tensor]

    def answer_loss(self, canvas: Canvas, question: str, answer: str, weight: Tensor) -> Tensor:
        """() nats per token: minus the mean log-probability of `answer`, its closing token included.

        `weight` (len(canvas),) in [0, 1] says how much of each visual token is there. The model's own parameters get
        gradients unless they want none; the canvas must not have been made in inference mode.
        """
        prefix, suffix = self.family.prompt(question)
        written = self.speech.closed(answer)
        text = [*suffix, *written[:-1]]
        before, parts, after = self.family.positions(canvas, len(prefix), len(text))
        embeds = wide([self._embed(prefix), *map(self._visual, canvas.parts), self._embed(text)])
        ones = [torch.ones(len(each), device=self.device) for each in (prefix, text)]
        hidden = self.decoder.weighed(
            embeds, torch.cat([before, *parts, after], 1), torch.cat([ones[0], weight.to(self.device).float(), ones[1]])
        )
        logprobs = self.family.logits(hidden[-len(written) :]).float().log_softmax(-1)
        wanted = torch.tensor(written, device=self.device)
        return -logprobs.gather(-1, wanted[:, None]).mean()
