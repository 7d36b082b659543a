"""saccade: answers questions about high-resolution images with a fixed budget of visual tokens.

    import saccade

    with saccade.load() as eye:
        trace = eye.look("page.png", "What is the invoice number?")

Importing it loads none of ray, vllm, transformers.
"""

from saccade.api import Eye, load, look, look_many
from saccade.config import Episode
from saccade.errors import (
    ConfigError,
    DataError,
    EngineDead,
    EngineError,
    PictureError,
    QuestionError,
    ResumeRefused,
    SaccadeError,
    UnknownName,
)
from saccade.picture import Picture
from saccade.types import Answer, Cost, Gaze, Question, Sample, Selection, Step, Trace
from saccade.version import __version__

__all__ = [
    "Answer",
    "ConfigError",
    "Cost",
    "DataError",
    "EngineDead",
    "EngineError",
    "Episode",
    "Eye",
    "Gaze",
    "Picture",
    "PictureError",
    "Question",
    "QuestionError",
    "ResumeRefused",
    "SaccadeError",
    "Sample",
    "Selection",
    "Step",
    "Trace",
    "UnknownName",
    "__version__",
    "load",
    "look",
    "look_many",
]
