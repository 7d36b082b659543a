"""The HTTP side, as an ASGI app: routes, keys, limits, streams. It does not depend on Ray."""

import asyncio
import hmac
import logging
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect

from pipelines.pages.template import template
from pipelines.serving.form import inputs
from pipelines.serving.looker import Fixation, Looked, Looker
from pipelines.serving.metrics import Meter
from pipelines.serving.pictures import collect, fetched
from pipelines.serving.refusals import Refusal, refusal
from pipelines.serving.reply import DONE, Reply, event
from pipelines.serving.sample_page import sample
from pipelines.serving.schema import parse
from pipelines.serving.settings import ServeConfig, hashed
from saccade.errors import SaccadeError

PAGE = Path(__file__).with_name("page.html")
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}

CORS: dict[str, Any] = {"allow_methods": ["GET", "HEAD", "POST"], "allow_headers": ["*"], "max_age": 600}
"""What pages of the origins that the operator allowed may do: ask, with a key of their own; no cookie is ever used."""

GONE = 499
"""Status under which requests are counted whose client disconnected, as in nginx."""

STALL_S = 15.0
"""A request of which nothing arrives for so long is given up: it holds the place of one that could be answered."""

logger = logging.getLogger("ray.serve")


class Front:
    """The endpoint's routes over one looker."""

    def __init__(self, config: ServeConfig, looker: Looker, most_tok: int) -> None:
        self.config, self.looker, self.most_tok = config, looker, most_tok
        self.meter, self.started = Meter(looker), int(time.time())
        self.page = template(PAGE)
        # Slow hosts hold up nobody else. Files that open slowly hold up other files alone: they take memory meanwhile.
        self.fetchers = ThreadPoolExecutor(config.max_episodes + config.max_queue, "fetcher")
        self.openers = ThreadPoolExecutor(thread_name_prefix="opener")

    def app(self) -> FastAPI:
        """The ASGI app."""
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        app.exception_handler(HTTPException)(_http_error)
        app.exception_handler(SaccadeError)(_library_error)
        keyed = APIRouter(dependencies=[Depends(self.check_key)])
        read: dict[str, Any] = {"methods": ["GET", "HEAD"]}  # HEAD: load balancers and uptime monitors ask with it
        app.api_route("/", **read)(self.index)
        app.api_route("/healthz", **read)(self.healthz)
        app.api_route("/health", **read)(self.healthz)  # as vLLM and most others call it
        app.api_route("/about", **read)(self.about)
        app.api_route("/sample", **read)(self.sample)
        app.api_route("/sample.png", **read)(self.sample_page)
        keyed.api_route("/metrics", **read)(self.metrics)
        keyed.api_route("/v1/models", **read)(self.models)
        keyed.api_route("/v1/models/{name:path}", **read)(self.model)
        keyed.post("/v1/chat/completions")(self.chat)
        app.include_router(keyed)
        if self.config.allow_origins:
            app.add_middleware(CORSMiddleware, allow_origins=self.config.allow_origins, **CORS)
        return app

    async def check_key(self, request: Request) -> None:
        """Refuses a request without an accepted key, if keys are configured."""
        if not self.config.key_hashes:
            return
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Refusal(401, "no API key: send 'Authorization: Bearer KEY'", code="missing_api_key")
        given = hashed(key.strip())
        if not any([hmac.compare_digest(given, known) for known in self.config.key_hashes]):
            raise Refusal(401, "wrong API key", code="invalid_api_key")

    async def index(self) -> Response:
        """The page."""
        return HTMLResponse(self.page, headers=PAGE_HEADERS)

    async def healthz(self) -> Response:
        """Whether requests are taken."""
        if self.looker.draining:
            raise Refusal(503, "the server is closing", code="draining")
        return JSONResponse({"status": "ok", "looking": self.looker.looking, "waiting": self.looker.waiting})

    async def about(self) -> Response:
        """What the page needs: the model's name, the defaults, and whether a key is required."""
        defaults = self.config.episode.model_dump(mode="json")
        needs_key = bool(self.config.key_hashes)
        facts = {"model": self.config.model_name, "defaults": defaults, "needs_key": needs_key}
        return JSONResponse({**facts, "settings": inputs(self.config.episode)})

    async def sample(self) -> Response:
        """A question about the sample page."""
        return JSONResponse({"question": (await asyncio.to_thread(sample))[1]})

    async def sample_page(self) -> Response:
        """The sample page."""
        return Response((await asyncio.to_thread(sample))[0], media_type="image/png")

    async def metrics(self) -> Response:
        """Prometheus' text form."""
        return Response(self.meter.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def models(self) -> Response:
        """The one model."""
        return JSONResponse({"object": "list", "data": [self._model()]})

    async def model(self, name: str) -> Response:
        """The one model, by its name."""
        if name != self.config.model_name:
            message = f"no model {name[:80]!r}; this server has {self.config.model_name!r}"
            raise Refusal(404, message, "model", "model_not_found")
        return JSONResponse(self._model())

    def _model(self) -> dict[str, Any]:
        episode = self.config.episode.model_dump(mode="json")
        limits = {name: getattr(self.config, name) for name in ("max_request_bytes", "max_image_px", "max_images")}
        model = {"id": self.config.model_name, "object": "model", "created": self.started, "owned_by": "saccade"}
        return {**model, "saccade": {"defaults": episode, "limits": limits}}

    async def chat(self, request: Request) -> Response:
        """One completion, whole or streamed."""
        started = time.perf_counter()
        try:
            return await self._chat(request, started)
        except ClientDisconnect:  # while its request was being received
            self.meter.ended(GONE, time.perf_counter() - started)
            return Response(status_code=GONE)
        except BaseException as error:
            if not isinstance(error, Exception):  # the client went away
                self.meter.ended(GONE, time.perf_counter() - started)
                raise
            refused = _refusal_of(error)
            self.meter.ended(refused.status, time.perf_counter() - started)
            raise refused from error

    async def _chat(self, request: Request, started: float) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":  # also keeps other sites' pages from asking without their reader's leave
            raise Refusal(400, "send the request with Content-Type: application/json", code="invalid_content_type")
        deadline = asyncio.get_running_loop().time() + self.config.timeout_s
        with self.looker.arrival() as place:
            body = await self._body(request, deadline)
            async with asyncio.timeout_at(deadline):
                asked = await asyncio.to_thread(parse, body, self.config.model_name, self.config.episode)
                loop = asyncio.get_running_loop()
                files = await loop.run_in_executor(self.fetchers, fetched, asked.urls, self.config)
                sheet = await loop.run_in_executor(self.openers, collect, files, self.config, asked.pages)
            reply = Reply(asked, self.config.model_name, self.most_tok)
            events = _until(deadline, self.looker.look(asked, sheet, place))
            if not asked.stream:
                return await self._whole(reply, events, started)
            first = await anext(events)  # what is wrong with the image or the question still has its status
        stream = self._stream(reply, first, events, started)
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    async def _whole(
        self, reply: Reply, events: AsyncGenerator[Fixation | Looked, None], started: float
    ) -> JSONResponse:
        """All events as one completion."""
        fixations: list[Fixation] = []
        async with aclosing(events):
            async for update in events:
                if isinstance(update, Fixation):
                    fixations.append(update)
                    continue
                self.meter.looked(update)
                completion = reply.whole(update, fixations)
        self.meter.ended(200, time.perf_counter() - started)
        return JSONResponse(completion)

    async def _body(self, request: Request, deadline: float) -> bytes:
        """The request's bytes, no more than are taken. Raises Refusal: 408, 413."""
        limit = self.config.max_request_bytes
        refused = Refusal(413, f"the request has more than {limit:,} bytes", code="request_too_large")
        announced = request.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > limit:
            raise refused
        data, now = bytearray(), asyncio.get_running_loop().time
        try:
            async with asyncio.timeout_at(min(deadline, now() + STALL_S)) as patience:
                async for chunk in request.stream():
                    patience.reschedule(min(deadline, now() + STALL_S))
                    data += chunk
                    if len(data) > limit:
                        raise refused
        except TimeoutError as error:
            raise Refusal(408, "the request did not arrive in time. Send it again", code="timeout") from error
        return bytes(data)

    async def _stream(
        self, reply: Reply, first: Fixation | Looked, events: AsyncGenerator[Fixation | Looked, None], started: float
    ) -> AsyncGenerator[str, None]:
        """Chunks. An error after the first of them is a chunk of its own: the status has been sent."""
        status, update, fixations = GONE, first, list[Fixation]()
        try:
            yield reply.opening()
            async with aclosing(events):
                while isinstance(update, Fixation):
                    fixations.append(update)
                    if reply.asked.trace:
                        yield reply.fixation(update)
                    update = await anext(events)
            self.meter.looked(update)
            for chunk in reply.closing(update, fixations):
                yield chunk
            status = 200
        except Exception as error:
            refused = _refusal_of(error)
            status = refused.status
            yield event(refused.body())
            yield DONE
        finally:
            self.meter.ended(status, time.perf_counter() - started)


async def _until(
    deadline: float, events: AsyncGenerator[Fixation | Looked, None]
) -> AsyncGenerator[Fixation | Looked, None]:
    """The same events, until the time of the loop is up. Raises TimeoutError."""
    loop = asyncio.get_running_loop()
    async with aclosing(events):
        while True:
            try:
                update = await asyncio.wait_for(anext(events), max(0.001, deadline - loop.time()))
            except StopAsyncIteration:
                return
            yield update


def _refusal_of(error: Exception) -> Refusal:
    """The response to an error; an unexpected one is also logged."""
    refused = refusal(error)
    if refused.status == 500:
        logger.error("a request failed", exc_info=error)
    return refused


def _refused(error: Refusal) -> Response:
    return JSONResponse(error.body(), status_code=error.status, headers=dict(error.headers))


async def _library_error(request: Request, error: Exception) -> Response:
    return _refused(refusal(error))


async def _http_error(request: Request, error: Exception) -> Response:
    """An unknown path, or a method that the path does not have."""
    status, detail = getattr(error, "status_code", 404), getattr(error, "detail", "")
    message, allowed = f"{request.method} {request.url.path[:200]}: {detail}", getattr(error, "headers", None)
    return _refused(Refusal(status, message, code="unknown_url", headers=allowed))
