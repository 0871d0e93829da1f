"""A model server on loopback that behaves as it is told: well, or as badly as servers do.

`from model_server import …` works in every test folder. It answers `/v1/completions` by a function of the
request, and commits a fault of one's choice before it does.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]
Fault = str | None


def completion(text: str, finish: str = "stop", **choice: object) -> Body:
    usage = {"prompt_tokens": 7, "completion_tokens": len(text.split())}
    return {
        "object": "text_completion",
        "choices": [{"index": 0, "text": text, "finish_reason": finish} | choice],
        "usage": usage,
    }


class ModelServer:
    """What the server does and what it saw.

    `answer(body)` makes the reply; `faults(n, body)` names the fault that the n-th attempt (from 0) at this
    very body meets, or None. `asked` counts attempts, `answered` whole good replies, by body.
    """

    def __init__(
        self,
        answer: Callable[[Body], Body] | None = None,
        faults: Callable[[int, Body], Fault] = lambda n, body: None,
        routes: tuple[str, ...] = ("/v1/completions",),
    ) -> None:
        self.answer = answer or (lambda body: completion(f" {body['seed']} of {body['prompt']}"))
        self.faults, self.routes = faults, routes
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.in_flight = self.most_in_flight = 0
        self.lock, self.stopped = threading.Lock(), threading.Event()
        self.url = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of_models: ModelServer

    def do_GET(self) -> None:
        self._reply(200, json.dumps({"data": [{"id": "m", "owned_by": "nobody"}]}).encode())

    def do_POST(self) -> None:
        told = self.server_of_models
        raw = self.rfile.read(int(self.headers["content-length"]))
        body = json.loads(raw)
        if self.path not in told.routes:
            return self._reply(404, b'{"detail": "Not Found"}')
        with told.lock:
            n = told.asked[raw.decode()]
            told.asked[raw.decode()] += 1
            told.headers.append(dict(self.headers))
            told.in_flight += 1
            told.most_in_flight = max(told.most_in_flight, told.in_flight)
        try:
            fault = told.faults(n, body)
            good = json.dumps(told.answer(body)).encode() if fault is None else b""
            with told.lock:
                told.answered[raw.decode()] += fault is None
                told.in_flight -= 1
            if fault is None:
                self._reply(200, good)
            else:
                self._misbehave(fault)
        except OSError:
            self.close_connection = True

    def _misbehave(self, fault: str) -> None:
        whole = json.dumps(completion("a forged answer")).encode()
        if fault == "hang":
            self.server_of_models.stopped.wait(20)
            self.close_connection = True
        elif fault == "cut":
            self.close_connection = True
        elif fault == "truncated":
            self.send_response(200)
            self.send_header("content-length", str(len(whole)))
            self.end_headers()
            self.wfile.write(whole[:-9])
            self.close_connection = True
        elif fault == "truncated chunks":
            self.send_response(200)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(whole), whole))
            self.close_connection = True
        elif fault == "no choice":
            self._reply(200, json.dumps(completion("x") | {"choices": []}).encode())
        elif fault == "two choices":
            two = completion("x")["choices"] * 2
            self._reply(200, json.dumps(completion("x") | {"choices": two}).encode())
        elif fault.isdecimal():
            self._reply(int(fault), b'{"error": {"message": "told to fail"}}')
        else:
            self._reply(200, fault.encode())

    def _reply(self, status: int, raw: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        if status == 429:
            self.send_header("retry-after", "0.01")
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def serving(told: ModelServer) -> Iterator[ModelServer]:
    """Let it serve on a free loopback port."""
    handler = type("Handler", (_Handler,), {"server_of_models": told})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        told.stopped.set()
        server.shutdown()
        server.server_close()
