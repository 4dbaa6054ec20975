"""`vedette evidence`: a file, or one line that says why not."""

import hashlib
import http.server
import json
import threading

import pytest
from test_collector_evidence import RAW, SHA256

from collector import fetch
from host import ports

FETCHING = {"state": "fetching", "device": "pump-1", "parts": 0, "of": None}


@pytest.fixture
def page():
    """A collector that gives the answers it is told to, the last one again and again."""
    answers = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            status, body = answers.pop(0) if len(answers) > 1 else answers[0]
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    server.answers, server.asked = answers, asked
    server.url = f"http://127.0.0.1:{server.server_port}/"
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def run(capsys, *argv):
    code = fetch.main("evidence", [*argv])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_it_asks_until_it_has_the_file_and_says_what_is_in_it(page, tmp_path, capsys):
    page.answers += [(202, FETCHING), (202, FETCHING), (200, RAW)]
    out = tmp_path / "alert.npz"
    code, said, _ = run(capsys, SHA256, "--page", page.url, "--out", str(out))
    assert code == 0
    assert out.read_bytes() == RAW
    assert "source: /vedette/pump-1/bearing\n" in said
    assert "window: 50 x 2\n" in said
    assert page.asked == [f"/api/evidence/{SHA256}"] * 3


def test_without_a_name_it_is_called_after_its_hash(page, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page.answers += [(200, RAW)]
    code, said, _ = run(capsys, SHA256, "--page", page.url, "--json")
    assert code == 0
    assert json.loads(said)["file"] == f"{SHA256[:12]}.npz"
    assert (tmp_path / f"{SHA256[:12]}.npz").read_bytes() == RAW


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((202, FETCHING), "pump-1 does not answer; fix: try again when it is online"),
        ((410, {"error": "pump-1 does not have it any more"}), "does not have it any more"),
        ((404, b"<html>"), "404 Not Found; fix: --page"),
        ((404, b"[]"), "404 Not Found; fix: --page"),
        ((200, b"something else"), "not what its hash says"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(page, tmp_path, capsys, answer, words):
    page.answers += [answer]
    out = tmp_path / "alert.npz"
    code, _, said = run(capsys, SHA256, "--page", page.url, "--out", str(out), "--timeout-s", "0.3")
    assert (code, said.count("\n")) == (1, 1)
    assert words in said
    assert not out.exists()


def test_nobody_there_and_no_place_to_write_are_told_too(page, tmp_path, capsys):
    code, _, said = run(capsys, SHA256, "--page", f"http://127.0.0.1:{ports.free_port()}/")
    assert (code, said.count("\n")) == (1, 1)
    assert "no collector at" in said
    page.answers += [(200, RAW)]
    code, _, said = run(capsys, SHA256, "--page", page.url, "--out", str(tmp_path))
    assert (code, said.count("\n")) == (1, 1)


def test_what_is_no_evidence_is_written_all_the_same(page, tmp_path, capsys):
    raw = b"of another time"
    page.answers += [(200, raw)]
    out = tmp_path / "x"
    sha256 = hashlib.sha256(raw).hexdigest()
    code, said, _ = run(capsys, sha256, "--page", page.url, "--out", str(out))
    assert (code, out.read_bytes()) == (0, raw)
    assert "unreadable: " in said


@pytest.mark.parametrize("argv", [["xyz"], [SHA256.upper()], [SHA256, "--page", "file:///etc"]])
def test_wrong_usage(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        fetch.main("evidence", argv)
    assert stopped.value.code == 2
