"""What `/metrics` reports, in Prometheus' text format. The counters live in the one front process."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pipelines.serving.looker import Looked, Looker

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Meter:
    """Counters of one front."""

    def __init__(self, looker: Looker) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        histogram = partial(Histogram, buckets=SECONDS, registry=self.registry)
        self.requests = counter(
            "saccade_requests", "Chat completions, by HTTP status; 499: the client went away.", ["status"]
        )
        self.seconds = histogram("saccade_request_seconds", "From arrival to the last byte.")
        self.stage = histogram("saccade_stage_seconds", "Seconds in answered requests.", ["stage"])
        self.kept = counter("saccade_visual_tokens_kept", "Visual tokens that the reader was shown.")
        self.saved = counter("saccade_visual_tokens_saved", "Visual tokens of full images that it was not shown.")
        self.fixations = counter("saccade_fixations", "Looks taken.")
        self.prompt = counter("saccade_prompt_tokens", "Prompt tokens, by where they came from.", ["source"])
        self.completion = counter("saccade_completion_tokens", "Tokens that the reader said.")
        self.cache = counter("saccade_encoding_cache", "Encodings asked for, by result.", ["result"])
        self.cache_bytes = gauge("saccade_encoding_cache_bytes", "Bytes of encodings kept by an encoder.")
        gauge("saccade_requests_looking", "Requests being looked at.").set_function(lambda: looker.looking)
        gauge("saccade_requests_waiting", "Requests in the queue.").set_function(lambda: looker.waiting)
        for result in ("hit", "miss"):
            self.cache.labels(result)

    def ended(self, status: int, seconds: float) -> None:
        """Counts a finished request."""
        self.requests.labels(str(status)).inc()
        self.seconds.observe(seconds)

    def looked(self, looked: Looked) -> None:
        """Counts an answered question. Tokens saved are relative to the full image, whatever view was requested."""
        cost, sight = looked.trace.cost, looked.sight
        self.kept.inc(cost.visual_tok)
        self.saved.inc(max(0, len(looked.seen.grid) - cost.visual_tok))
        self.fixations.inc(len(looked.trace.steps))
        self.prompt.labels("prefilled").inc(cost.prefill_tok)
        self.prompt.labels("cached").inc(cost.cached_tok)
        self.completion.inc(sum(len(step.answer.logprobs) for step in looked.trace.steps))
        self.cache.labels("hit").inc(sight.hits)
        self.cache.labels("miss").inc(sight.misses)
        self.cache_bytes.set(sight.cache_bytes)
        for stage, seconds in {"wait": looked.waited_s, **cost.seconds}.items():
            self.stage.labels(stage).observe(seconds)

    def text(self) -> bytes:
        """All counters, in Prometheus' text format."""
        return generate_latest(self.registry)
