"""Average checkpoints of one lineage: the mean of their weights reads better than the best of them.

    saccade train average runs/a/checkpoint runs/b/checkpoint saccade/nano --out runs/mean

Where trainings began from the same weights, or one from another's, the loss between them is flat, and the mean of
their weights lies nearer to its middle than either end (Izmailov et al. 2018, arXiv 1803.05407; Wortsman et al. 2022,
arXiv 2203.05482). Independent trainings have no such valley: their mean is useless. The dense head is averaged as well.
Gaze and card (`saccade train gaze`, `saccade train calibration`) belong to one checkpoint and must be made again.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from saccade.errors import ConfigError
from saccade.training.dense import dense_head
from saccade.training.model import load_head, load_model
from saccade.training.nano import export
from saccade.training.parser import parser_of


def average(states: Sequence[dict[str, Tensor]], weights: Sequence[float]) -> dict[str, Tensor]:
    """The weighted mean of equal-shaped tensors, by name. `weights` need not sum to 1.

    Raises:
        ConfigError: names or shapes differ, or no weight is positive.
    """
    first, total = states[0], sum(weights)
    if min(weights) < 0 or total <= 0:
        raise ConfigError(f"--weights {','.join(f'{weight:g}' for weight in weights)}: none below 0, and not all 0")
    for state in states[1:]:
        other = {name for name in first.keys() | state.keys() if _shape(first, name) != _shape(state, name)}
        if other:
            raise ConfigError(f"these are checkpoints of different models: {min(other)} is not the same in all of them")
    shares = torch.tensor(weights) / total
    return {
        name: torch.tensordot(shares, torch.stack([state[name].float() for state in states]), 1).to(value.dtype)
        for name, value in first.items()
    }


def _shape(state: dict[str, Tensor], name: str) -> torch.Size | None:
    return state[name].shape if name in state else None


def mean_checkpoint(folders: Sequence[Path], weights: Sequence[float], out: Path) -> None:
    """Writes the mean of checkpoints that `saccade train nano` wrote.

    Raises:
        ConfigError: a folder is not a checkpoint, or the checkpoints are of different models.
    """
    absent = [folder for folder in folders if not (folder / "config.json").exists()]
    if absent:
        raise ConfigError(f"no checkpoint in {str(absent[0])!r}: it has no config.json")
    models = [load_model(folder) for folder in folders]
    heads = [dense_head(model.config.text_config.hidden_size) for model in models]
    for head, folder in zip(heads, folders, strict=True):
        load_head(head, folder)
    model, head = models[0], heads[0]
    model.load_state_dict(average([each.state_dict() for each in models], weights))
    head.load_state_dict(average([each.state_dict() for each in heads], weights))
    out.mkdir(parents=True, exist_ok=True)
    export(model, head, out)


def main(argv: Sequence[str] | None = None) -> None:
    """Reads the checkpoints, writes their mean."""
    parser = parser_of(__doc__)
    parser.add_argument("checkpoints", type=Path, nargs="+", help="folders of checkpoints")
    parser.add_argument("--weights", default="", help="weight of each checkpoint: 2,1,1 [all equal]")
    parser.add_argument("--out", type=Path, required=True, help="folder of the result")
    args = parser.parse_args(argv)
    try:
        weights_text = args.weights or ",".join("1" * len(args.checkpoints))
        weights = [float(weight) for weight in weights_text.split(",")]
        if len(weights) != len(args.checkpoints):
            raise ConfigError(f"--weights has {len(weights)} numbers for {len(args.checkpoints)} checkpoints")
        mean_checkpoint(args.checkpoints, weights, args.out)
    except (ConfigError, ValueError) as error:
        parser.error(str(error))
    print(f"{args.out}: the mean of {len(weights)} checkpoints")


if __name__ == "__main__":
    main()
