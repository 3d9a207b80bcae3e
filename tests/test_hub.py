"""What is uploaded is what `to_huggingface` writes, over HTTP to a server that takes it down."""

import base64
import contextlib
import http.server
import json
import threading

import pytest
from families import noisy
from huggingface_hub import constants

import kzoo
from kzoo.errors import KzooError


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as takes files; `files` holds the commit's."""

    files, tokens = {}, set()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.tokens.add(self.headers.get("Authorization"))
        address = f"http://{self.headers['Host']}/me/tiny"
        answer = {"url": address, "name": "me/tiny", "id": "me/tiny"}
        if "/preupload/" in self.path:
            asked = json.loads(body)["files"]
            answer = {
                "files": [
                    {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for f in asked
                ]
            }
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    value = line["value"]
                    self.files[value["path"]] = base64.b64decode(value["content"])
            oid = "0" * 40
            answer = {"success": True, "commitUrl": f"{address}/commit/{oid}", "commitOid": oid}
        self._answer(answer)

    def do_GET(self):
        self._answer({"id": "me/tiny", "sha": "0" * 40, "siblings": [], "tags": []})

    def _answer(self, answer):
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words):
        pass


@contextlib.contextmanager
def hub():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_model_is_uploaded_as_it_is_written(monkeypatch, tmp_path):
    model = noisy("bert")
    kzoo.to_huggingface(model, tmp_path / "model")
    with hub() as address:
        monkeypatch.setattr(constants, "ENDPOINT", address)
        kzoo.to_hub(model, "me/tiny", token="hf_secret")
    expected = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    assert {name: Hub.files.get(name) for name in expected} == expected
    assert Hub.tokens == {"Bearer hf_secret"}


@pytest.mark.parametrize("name", ["tiny", "me/tiny/more", "me/tiny"])
def test_a_hub_that_does_not_take_it_is_one_sentence(name, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(KzooError, match="user/name|hf auth login") as raised:
        kzoo.to_hub(noisy("bert"), name, token="hf_secret")
    assert "\n" not in str(raised.value) and "hf_secret" not in str(raised.value)
