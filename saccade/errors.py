"""Every error saccade raises on purpose. Catch `SaccadeError` to catch them all.

    SaccadeError
    ├── ConfigError          a setting is wrong: nothing has been started
    │   ├── UnknownName      no strategy, data set or family of that name
    │   └── ResumeRefused    the output folder belongs to another run or configuration
    ├── DataError            one sample cannot be used: it costs one row
    │   ├── PictureError     the image cannot be read, or is outside the limits
    │   └── QuestionError    the question cannot be asked
    └── EngineError          the model failed on one request
        └── EngineDead       the engine is gone: restart it or stop loudly

A message says what was wrong, the value, what is allowed, and what to do.
"""


class SaccadeError(Exception):
    """Base of all errors that saccade raises on purpose."""


class ConfigError(SaccadeError):
    """A setting is wrong. Raised before anything is started."""


class UnknownName(ConfigError):  # noqa: N818
    """No strategy, data set or family has that name."""


class ResumeRefused(ConfigError):  # noqa: N818
    """The output folder belongs to another run or to another configuration."""


class DataError(SaccadeError):
    """One sample cannot be used. It becomes an error row; the run goes on."""


class PictureError(DataError):
    """The image cannot be read, or it is outside the limits."""


class QuestionError(DataError):
    """The question cannot be asked (empty, or longer than the model's context)."""


class EngineError(SaccadeError):
    """The model failed on one request."""


class EngineDead(EngineError):  # noqa: N818
    """The engine is gone. A pipeline restarts it or stops; it never answers rows with it."""


def describe(error: BaseException) -> str:
    """`Type: message` on one line, the form that error rows hold."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
