import json
import signal
import socket
import threading

import pytest
from collector_helpers import Collector
from real_broker import until

import collector.__main__ as command
from collector.store import Store
from host.ports import free_port


def run(*argv):
    return command.main("collect", list(argv))


def test_help_teaches_with_an_example(capsys):
    with pytest.raises(SystemExit) as ended:
        run("--help")
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "vedette collect --host broker.local" in out
    assert "exit codes" in out


@pytest.mark.parametrize(
    "argv",
    [
        ["--port", "70000"],
        ["--port", "x"],
        ["--prefix", "a/#"],
        ["--share", "a/#"],
        ["--mqtt-version", "4"],
        ["--what"],
    ],
)
def test_wrong_usage_exits_with_2(argv, capsys):
    with pytest.raises(SystemExit) as ended:
        run(*argv)
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def one_line_of(capsys):
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def test_a_taken_port_is_one_line_with_the_fix(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run("--http-port", port, "--db", str(tmp_path / "c.db")) == 78
    line = one_line_of(capsys)
    assert f"127.0.0.1:{port}" in line
    assert "fix: another --http-port" in line


def test_an_unusable_database_is_one_line_with_the_fix(tmp_path, capsys):
    bad = tmp_path / "bad.db"
    bad.write_bytes(b"this is no database at all " * 99)
    for path in (bad, tmp_path, tmp_path / "no" / "folder.db"):
        assert run("--http-port", "0", "--db", str(path)) == 78
        line = one_line_of(capsys)
        assert str(path) in line
        assert "fix: " in line


def test_a_database_in_use_is_refused(tmp_path, capsys):
    store = Store(tmp_path / "c.db")
    assert run("--http-port", "0", "--db", str(tmp_path / "c.db")) == 78
    store.close()
    assert "another collector" in one_line_of(capsys)


@pytest.mark.parametrize("option", ["--ca-file", "--password-file"])
def test_a_missing_file_is_named(option, tmp_path, capsys):
    missing = str(tmp_path / "missing")
    assert run(option, missing, "--username", "u", "--db", str(tmp_path / "c.db")) == 78
    assert missing in one_line_of(capsys)


def test_without_a_broker_it_serves_says_so_and_stops_cleanly(tmp_path):
    running = Collector(free_port(), tmp_path / "c.db")
    try:
        until(lambda: running.get("api/summary")["alerts"] == 0)
        assert not running.is_healthy()
    finally:
        assert running.end(signal.SIGINT) == 0


def test_the_death_of_a_thread_ends_the_process(tmp_path, monkeypatch, capsys):
    def dies(_, __):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(command.Ingest, "run", dies)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        db = str(tmp_path / "c.db")
        assert run("--port", str(free_port()), "--http-port", "0", "--json", "--db", db) == 1
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    line = json.loads(capsys.readouterr().out)
    assert line["db"] == db
    assert line["url"].startswith("http://127.0.0.1:")
