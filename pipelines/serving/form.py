"""The form of the endpoint's page: one input per setting of an episode, made from the setting's field."""

from typing import Any, get_args

from saccade.config import VIEWS, Episode
from saccade.registry import names
from saccade.settings import option_of


def inputs(settings: Episode) -> list[dict[str, Any]]:
    """Name, help, kind (number, choice or text), limits or choices, and the endpoint's own value of each setting."""
    items = []
    for name, field in Episode.model_fields.items():
        value = getattr(settings, name)
        item: dict[str, Any] = {"name": name, "help": field.description, "value": _shown(value)}
        option = option_of(field.metadata)
        choices = list(get_args(field.annotation)) if isinstance(value, str) and not option.names else []
        if option.names:
            choices = [*names(option.names), *(VIEWS if name == "sampler" else ())]
        if choices and item["value"] in choices:
            items.append({**item, "kind": "choice", "choices": choices})
        elif isinstance(value, int | float):
            limits = {
                side: getattr(each, side) for each in field.metadata for side in ("ge", "le") if hasattr(each, side)
            }
            step = 1 if isinstance(value, int) else "any"
            items.append({**item, "kind": "number", "step": step, "least": limits.get("ge"), "most": limits.get("le")})
        else:
            items.append({**item, "kind": "text"})
    return items


def _shown(value: Any) -> Any:
    """A value as an input holds it: a strategy by its name; mixes with settings of their own are left to requests."""
    if isinstance(value, dict):
        return value.get("name", "")
    return ",".join(map(str, value)) if isinstance(value, tuple) else value
