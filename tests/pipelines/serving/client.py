"""An endpoint in this process, without Ray and without a socket, and what its tests send to it."""

import asyncio
import base64
import io
import json
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from PIL import Image

from pipelines.serving.backends import Local
from pipelines.serving.looker import Looker
from pipelines.serving.routes import Front
from pipelines.serving.settings import ServeConfig
from tests import tiny

T = TypeVar("T")
JSON = {"content-type": "application/json"}
KNOBS = {"tokens": 12, "fixations": 2, "stop_at": 2, "trace": True}


def png(width_px: int = 140, height_px: int = 196, seed: int = 0) -> bytes:
    """A page with something to see."""
    buffer = io.BytesIO()
    Image.fromarray(tiny.page(width_px, height_px, seed)).save(buffer, "png")
    return buffer.getvalue()


def uri(data: bytes, kind: str = "png") -> str:
    """A data: URI."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def image(data: bytes) -> dict[str, Any]:
    """An image part."""
    return {"type": "image_url", "image_url": {"url": uri(data)}}


def body(question: str = "What is field 1?", *images: bytes, **more: Any) -> dict[str, Any]:
    """A request about the images (one page when none is given)."""
    parts = [*(image(data) for data in images or (png(),)), {"type": "text", "text": question}]
    return {"model": "tiny", "messages": [{"role": "user", "content": parts}], **more}


class InProcess:
    """The ASGI app, its loop in a thread of its own."""

    def __init__(self, config: ServeConfig, backends: Any = None) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.local = backends or Local(config)
        self.looker = Looker(config, self.local, 1_000_000)
        self.front = Front(config, self.looker, int(getattr(config.engine_spec, "max_new_tok", 0)))
        transport = httpx2.ASGITransport(self.front.app())
        self.client = httpx2.AsyncClient(transport=transport, base_url="http://saccade", timeout=60)

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float = 60) -> T:
        """The result of a coroutine in the endpoint's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout_s)

    def get(self, path: str, **more: Any) -> httpx2.Response:
        """GET."""
        return self.run(self.client.get(path, **more))

    def post(self, json: Any = None, **more: Any) -> httpx2.Response:
        """A chat completion."""
        return self.run(
            self.client.post("/v1/chat/completions", **({"json": json} if json is not None else {}), **more)
        )

    def stream(self, json: Any) -> list[dict[str, Any]]:
        """The chunks of a streamed one; the last line is [DONE]."""
        response = self.post({**json, "stream": True})
        assert response.status_code == 200, response.text
        assert response.headers["content-type"].startswith("text/event-stream")
        return chunks(response.text)

    def close(self) -> None:
        """Ends the loop."""
        self.run(self.client.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)


def chunks(text: str) -> list[dict[str, Any]]:
    """Server-sent events as the objects they hold, without the final [DONE]."""
    lines = [line for line in text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines) and lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def settings(model: Path, **more: Any) -> ServeConfig:
    """An endpoint for a tiny checkpoint."""
    engine = {"name": "hf", "model": str(model), "max_new_tok": 4, "device": "cpu"}
    episode = {"budget": {"name": "fixed", "tokens": 12}, "fixations": 2, "stop_at": 2}
    return ServeConfig(**{"engine": engine, "served_name": "tiny", "threads": 1, "episode": episode, **more})


@contextmanager
def in_process(model: Path, backends: Any = None, **more: Any) -> Iterator[InProcess]:
    """An endpoint for a tiny checkpoint, closed at the end."""
    endpoint = InProcess(settings(model, **more), backends)
    try:
        yield endpoint
    finally:
        endpoint.close()
