"""The endpoint for Ray Serve's own tools: `serve run pipelines.serve:app`. It is `pipelines.serving.app`."""

from pipelines.serving.app import app

__all__ = ["app"]
