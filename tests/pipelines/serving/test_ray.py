"""`saccade serve` as people start it: Ray Serve, the official client, many at once, a reader that dies, Ctrl-C."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from pipelines.pages.listening import check_free
from pipelines.serving.app import app, is_loopback, share
from pipelines.serving.settings import ServeConfig, hashed, key_hashes
from saccade.errors import ConfigError
from tests.pipelines.serving.client import JSON, KNOBS, body, image, png
from tests.pipelines.serving.test_http import value

ROOT = Path(__file__).parents[3]
START_S = 240.0
GONE = 'saccade_requests_total{status="499"}'


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


class Served:
    """A `saccade serve` process and where it answers."""

    def __init__(self, model: Path, *options: str, key: str | None = None) -> None:
        self.port, self.url, self.said = free_port(), "", ""
        arguments = ["serve", "--port", str(self.port), "--model", str(model), "--device", "cpu", "--tokens", "12"]
        arguments += ["--fixations", "2", "--stop-at", "2"]
        arguments += ["--set", "engine.max_new_tok=4", "--set", "served_name=tiny"]
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            "from pipelines.commands.app import main; main()",
            *arguments,
            *options,
        ]
        niceness = {"RAY_worker_niceness": "0"}  # Ray's 15 starves workers where other work goes on beside
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self.process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **niceness}, **pipes)
        self.url = f"http://127.0.0.1:{self.port}"
        self.headers = {} if key is None else {"authorization": f"Bearer {key}"}

    def wait(self, told: bool = True) -> "Served":
        """Until it answers, and until it says so."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.process.stdout and self.process.stdout.read()
            try:
                if httpx2.get(f"{self.url}/healthz", timeout=5).status_code == 200:
                    return self._told() if told else self
            except httpx2.HTTPError:
                pass
            time.sleep(0.5)
        raise AssertionError("it did not start in time")

    def _told(self) -> "Served":
        """Until it says so."""
        assert self.process.stdout is not None
        while "Ctrl-C ends it" not in self.said:
            self.said += self.process.stdout.readline()
        return self

    def post(self, made: dict[str, Any], **more: Any) -> httpx2.Response:
        """A chat completion."""
        return httpx2.post(f"{self.url}/v1/chat/completions", json=made, headers=self.headers, timeout=120, **more)

    def stop(self, number: signal.Signals = signal.SIGINT) -> str:
        """Ctrl-C, or another signal; what it wrote."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.said + self.process.communicate(timeout=90)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.said + self.process.communicate()[0]

    def descendants(self, name: str) -> list[int]:
        """Processes that it started, whose command line begins with `name`."""
        return descendants(self.process.pid, name)


def descendants(ancestor: int, name: str) -> list[int]:
    """Processes that came of a process, it among them, whose command line begins with `name`."""
    parents: dict[int, int] = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            parents[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    family = {ancestor}
    while grown := {child for child, parent in parents.items() if parent in family} - family:
        family |= grown
    return [pid for pid in family if _command(pid).startswith(name)]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


@pytest.fixture(scope="module")
def served(qwen2_5_vl: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    keys = tmp_path_factory.mktemp("keys") / "keys.txt"
    keys.write_text("# who may ask\nsesame\n\n")
    made = Served(qwen2_5_vl, "--api-key-file", str(keys), "--max-queue", "16", key="sesame")
    try:
        yield made.wait()
    finally:
        made.stop()


@pytest.mark.ray
@pytest.mark.timeout(600)
class TestServed:
    """One process, in the order in which it lives."""

    def test_the_official_client(self, served: Served) -> None:
        openai = pytest.importorskip("openai")
        client = openai.OpenAI(base_url=f"{served.url}/v1", api_key="sesame", max_retries=0)
        assert [model.id for model in client.models.list()] == ["tiny"]
        messages = [{"role": "user", "content": [image(png()), {"type": "text", "text": "What is field 1?"}]}]
        asked = {"model": "tiny", "messages": messages, "extra_body": {"saccade": KNOBS}}
        whole = client.chat.completions.create(**asked, logprobs=True, temperature=0, max_tokens=4)
        told = whole.model_extra["saccade"]
        assert whole.choices[0].message.content == told["answer"] and len(told["fixations"]) == 2
        assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
        assert whole.choices[0].logprobs.content[0].logprob <= 0
        chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == whole.choices[0].message.content
        parts = [chunk.model_extra["saccade"] for chunk in chunks if "saccade" in chunk.model_extra]
        assert [part["fixation"]["number"] for part in parts[:-1]] == [1, 2]
        assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens
        assert [f["kept"] for f in parts[-1]["fixations"]] == [f["kept"] for f in told["fixations"]]
        with pytest.raises(openai.BadRequestError, match="answers are greedy"):
            client.chat.completions.create(**asked, temperature=0.5)
        with pytest.raises(openai.NotFoundError, match="this server has 'tiny'"):
            client.chat.completions.create(**{**asked, "model": "gpt-4o"})
        with pytest.raises(openai.AuthenticationError, match="wrong API key"):
            openai.OpenAI(base_url=f"{served.url}/v1", api_key="x").models.list()

    def test_many_at_once_share_passes(self, served: Served) -> None:
        with ThreadPoolExecutor(12) as pool:
            responses = list(pool.map(lambda n: served.post(body("What?", png(seed=n % 6))), range(24)))
        assert {response.status_code for response in responses} == {200}
        metrics = httpx2.get(f"{served.url}/metrics", headers=served.headers).text
        assert 'saccade_requests_total{status="200"}' in metrics
        assert 'saccade_encoding_cache_total{result="hit"}' in metrics

    def test_too_many_bytes_are_refused_by_their_number(self, served: Served) -> None:
        response = served.post(body("x" * (33 << 20)))
        assert response.status_code == 413 and response.json()["error"]["code"] == "request_too_large"

    @pytest.mark.parametrize("stream", [False, True])
    def test_who_goes_away_is_counted_and_frees_the_place(self, served: Served, stream: bool) -> None:
        def gone() -> float:
            return value(httpx2.get(f"{served.url}/metrics", headers=served.headers).text, GONE)

        def until(happened: Callable[[], bool]) -> None:
            deadline = time.monotonic() + 60
            while not happened():
                assert time.monotonic() < deadline
                time.sleep(0.02)

        before, knobs = gone(), {**KNOBS, "fixations": 64, "tokens": 1}
        asked = body("Still there?", png(seed=60 + stream), stream=stream, saccade=knobs)
        client = http.client.HTTPConnection("127.0.0.1", served.port)
        client.request("POST", "/v1/chat/completions", json.dumps(asked), JSON | served.headers)
        until(lambda: httpx2.get(f"{served.url}/healthz").json()["looking"] == 1)  # who left earlier never arrived
        client.close()
        until(lambda: gone() > before)
        assert gone() == before + 1
        assert httpx2.get(f"{served.url}/healthz").json() == {"status": "ok", "looking": 0, "waiting": 0}

    def test_a_reader_that_dies_is_replaced(self, served: Served) -> None:
        (reader,) = served.descendants("ray::ServeReplica:saccade:Reader")
        os.kill(reader, signal.SIGKILL)
        deadline, statuses = time.monotonic() + 120, []
        while not statuses or statuses[-1] != 200:
            assert time.monotonic() < deadline, statuses
            statuses.append(served.post(body("Again?")).status_code)
            time.sleep(0.5)
        assert set(statuses) <= {200, 503}
        assert served.descendants("ray::ServeReplica:saccade:Reader") != [reader]

    def test_ctrl_c_answers_what_is_being_answered_and_ends(self, served: Served) -> None:
        _answers_and_ends(served, signal.SIGINT)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(600)
@pytest.mark.parametrize("told", [False, True])  # requests are taken some seconds before it says that all is up
def test_sigterm_answers_what_is_being_answered_and_ends(qwen2_5_vl: Path, told: bool) -> None:
    served = Served(qwen2_5_vl)
    try:
        _answers_and_ends(served.wait(told), signal.SIGTERM)
    finally:
        served.stop()


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(600)
def test_sigterm_before_it_answers_ends_it(qwen2_5_vl: Path) -> None:
    served = Served(qwen2_5_vl)
    assert served.process.stdout is not None
    while "starting tiny" not in served.process.stdout.readline():
        assert served.process.poll() is None
    written = served.stop(signal.SIGTERM)
    assert served.process.returncode == 130 and "stopped before it answered" in written, written
    assert "Traceback" not in written and served.descendants("ray::") == []


def _answers_and_ends(served: Served, number: signal.Signals) -> None:
    with ThreadPoolExecutor(6) as pool:
        knobs = {"fixations": 12, "tokens": 2, "stop_at": 2}
        asked = [pool.submit(served.post, body("Last?", png(seed=50 + n), saccade=knobs)) for n in range(6)]
        time.sleep(0.4)
        written = served.stop(number)
        statuses = [_status(future) for future in asked]
    assert served.process.returncode == 0, written
    assert "closing" in written and "closed" in written and "cut off" not in written
    assert "Traceback" not in written, written
    assert set(statuses) <= {200, 503} and 200 in statuses
    assert served.descendants("ray::") == []


def _status(future: Any) -> int:
    try:
        return int(future.result().status_code)
    except httpx2.HTTPError:  # it came when nobody listened any more
        return 503


def test_the_serve_configuration_is_right() -> None:
    from ray.serve.schema import ServeDeploySchema

    made = yaml.safe_load((ROOT / "configs" / "serve.yaml").read_text())
    (application,) = ServeDeploySchema(**made).applications
    assert application.import_path == "pipelines.serve:app" and made["http_options"]["host"] == "127.0.0.1"
    config = ServeConfig(**application.args)
    assert config.model_name == "nano" and app(config) is not None


def test_replicas_fit_two_cpus() -> None:
    for config in (ServeConfig(), ServeConfig(max_readers=8, num_encoders=3, cpus=1)):
        assert share(config) * (1 + config.num_encoders + config.max_readers) <= 2


def test_keys_come_from_a_file_and_are_kept_as_hashes(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# ours\n one \n\ntwo\n")
    assert key_hashes(tmp_path / "keys") == (hashed("one"), hashed("two"))
    (tmp_path / "empty").write_text("# none\n")
    with pytest.raises(ConfigError, match="holds no key"):
        key_hashes(tmp_path / "empty")
    with pytest.raises(ConfigError, match="cannot read the key file"):
        key_hashes(tmp_path / "nowhere")


def test_a_port_that_is_taken_is_said_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="Choose another --port"):
            check_free("127.0.0.1", taken.getsockname()[1])
    for host in ("300.1.1.1", "192.0.2.1"):  # no address, and one of no machine
        with pytest.raises(ConfigError, match="Choose another --host"):
            check_free(host, 8000)
    assert is_loopback("127.0.0.1") and is_loopback("localhost") and not is_loopback("0.0.0.0")


def test_settings_are_checked_as_a_whole() -> None:
    with pytest.raises(ConfigError, match="below min_readers"):
        ServeConfig(min_readers=2)
    with pytest.raises(ConfigError, match="gpt"):
        ServeConfig(engine={"name": "gpt"})
