import json
import re
import socket
import threading
import urllib.error
import urllib.request

import pytest
import uvicorn
from collector_helpers import (
    SECOND_NS,
    a_score,
    alert,
    get,
    health,
    outbox_health,
    pipeline_health,
    received,
    sensor,
)
from real_broker import until

from collector import web
from collector.evidence import Fetcher
from collector.ingest import Ingest
from collector.metrics import Metrics, StoreMetrics
from collector.store import Added, Rejected, Store
from contract.messages import Status

MARKUP = "<script>alert('x')</script>"


class Served:
    def __init__(self, path):
        self.store = Store(path)
        self.metrics = Metrics()
        self.ingest = Ingest(None, self.store, prefix="vedette", observe=self.metrics.observe)
        self.fetcher = Fetcher(path)
        self.ingest.broker_trouble = None
        self.metrics.registry.register(StoreMetrics(path, self.ingest))
        self.stopping = threading.Event()
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        app = web.make_app(path, self.ingest, self.metrics, self.fetcher, self.stopping)
        config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [listener]}, daemon=True
        )
        self.thread.start()
        until(lambda: self.server.started)

    def close(self):
        self.stopping.set()
        self.server.should_exit = True
        self.thread.join(5)
        assert not self.thread.is_alive()
        self.store.close()

    def get(self, path):
        return get(self.url + path)

    def text(self, path):
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            return answer.read().decode()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    served = Served(tmp_path_factory.mktemp("web") / "collector.db")
    now_ns = served.store._now_ns()
    served.store.add(
        [
            received(Status(state="online"), at_ns=now_ns),
            received(
                health(
                    pipelines={"bearing": pipeline_health(bundle_refused="too slow")},
                    cpu_temperature_c=51.5,
                    outbox=outbox_health(dead=3),
                ),
                ts_ns=now_ns,
                at_ns=now_ns,
            ),
            received(a_score(0.25), ts_ns=now_ns - SECOND_NS, at_ns=now_ns),
            received(
                alert(label=MARKUP), clock_synced=False, boot_id="b", at_ns=now_ns - SECOND_NS
            ),
            received(
                alert("cleared"),
                device="pump-2",
                replayed=True,
                ts_ns=now_ns - SECOND_NS,
                at_ns=now_ns,
            ),
            received(sensor(), ts_ns=now_ns - SECOND_NS, at_ns=now_ns),
        ],
        [Rejected("vedette/<b>", "bad name in topic", b"\xffjunk", 5, now_ns)],
    )
    yield served
    served.close()


def test_alerts(served):
    trouble, newest, first = served.get("api/alerts")["alerts"]
    assert (newest["device"], newest["kind"], newest["state"]) == ("pump-2", "alert", "cleared")
    assert (newest["at_ns"], newest["dated_by"]) == (newest["ts_ns"], "device")
    assert newest["latency_ms"] == pytest.approx(1000, abs=500)
    assert (newest["replayed"], first["replayed"]) == (True, False)
    assert first["label"] == MARKUP
    # its own clock was not to be believed, and nothing else of that boot has told the time
    assert (first["at_ns"], first["dated_by"]) == (first["received_ns"], "collector")
    assert first["latency_ms"] is None
    assert (trouble["kind"], trouble["label"], trouble["refused"]) == ("sensor", "stuck", 12)
    assert served.get("api/alerts?limit=1")["alerts"] == [trouble]
    assert served.get("api/alerts?device=pump-1")["alerts"] == [trouble, first]
    assert served.get(f"api/alerts?since={first['n']}")["alerts"] == [trouble, newest]
    assert served.get("api/alerts?kind=sensor")["alerts"] == [trouble]
    assert served.get("api/alerts?kind=alert")["alerts"] == [newest, first]
    assert served.get("api/alerts?kind=alert&device=pump-1")["alerts"] == [first]


def test_devices(served):
    answer = served.get("api/devices")
    first, second = answer["devices"]
    assert answer["left_out"] == 0
    assert (first["device"], first["state"], first["clock_synced"]) == ("pump-1", "online", True)
    assert first["cpu_temperature_c"] == 51.5
    assert first["outbox"]["rows"] == 2
    (pipeline,) = first["pipelines"]
    assert (pipeline["learned_windows"], pipeline["learn_windows"]) == (30, 100)
    assert pipeline["alarm"]["state"] == "raised"
    assert (pipeline["sensor"], pipeline["bundle_refused"]) == ("stuck", "too slow")
    assert (second["device"], second["state"], second["outbox"]) == ("pump-2", "unknown", None)


def test_scores(served):
    (series,) = served.get("api/scores")["series"]
    assert (series["device"], series["pipeline"]) == ("pump-1", "bearing")
    (point,) = series["points"]
    assert (point["score"], point["threshold"], point["window"]) == (0.25, 1.0, 7)


def test_summary(served):
    summary = served.get("api/summary")
    assert summary["alerts"] == summary["alerts_raised"] + summary["alerts_cleared"] == 2
    assert (summary["duplicates"], summary["redelivered"], summary["rejected"]) == (0, 0, 1)
    assert summary["sensors"] == 1
    # of the alerts one was replayed, the other cannot be dated
    assert summary["latency_ms"]["alert"] == {"count": 0, "p50": None, "p99": None}
    assert summary["latency_ms"]["all"]["count"] == 1
    assert summary["latency_ms"]["all"]["p99"] == pytest.approx(1000, abs=500)


def test_rejected(served):
    (row,) = served.get("api/rejected")["rejected"]
    assert row["payload"] == "\N{REPLACEMENT CHARACTER}junk"


@pytest.mark.parametrize(
    "query", ["limit=x", "limit=-1", "limit=1001", "since=1e9", "limit=²", "kind=health"]
)
def test_a_bad_query_is_named(served, query):
    url = served.url + "api/alerts?" + urllib.parse.quote(query, safe="=")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, timeout=5)
    with refused.value as answer:
        assert answer.code == 400
        assert query.partition("=")[0] in json.load(answer)["error"]


def test_what_is_not_there_is_json_too(served):
    with pytest.raises(urllib.error.HTTPError) as missing:
        urllib.request.urlopen(served.url + "api/nothing", timeout=5)
    with missing.value as answer:
        assert (answer.code, json.load(answer)) == (404, {"error": "Not Found"})


def test_healthz_gives_the_reasons(served):
    assert served.get("healthz") == {"status": "ok", "reasons": {}}
    served.ingest.store_trouble = "disk is full"
    try:
        with pytest.raises(urllib.error.HTTPError) as failing:
            served.get("healthz")
    finally:
        served.ingest.store_trouble = None
    with failing.value as answer:
        assert answer.code == 503
        assert json.load(answer)["reasons"] == {"store": "disk is full"}


def test_metrics(served):
    served.metrics.observe(0.004, Added(SECOND_NS, [("alert", 20_000_000)], []))
    text = served.text("metrics")
    for line in (
        'vedette_messages_stored_total{kind="alert"} 2.0',
        'vedette_messages_stored_total{kind="sensor"} 1.0',
        "vedette_messages_redelivered_total 0.0",
        "vedette_messages_rejected_total 1.0",
        "vedette_scores_dropped_total 0.0",
        "vedette_queue_messages 0.0",
        "vedette_broker_connected 1.0",
        "vedette_store_writable 1.0",
        "vedette_commit_seconds_count 1.0",
        'vedette_latency_seconds_bucket{kind="alert",le="0.025"} 1.0',
        'vedette_device_online{device="pump-1"} 1.0',
        'vedette_device_online{device="pump-2"} 0.0',
        'vedette_device_outbox_rows{device="pump-1"} 2.0',
        'vedette_device_dead_letters{device="pump-1"} 3.0',
        'vedette_device_cpu_temperature_celsius{device="pump-1"} 51.5',
        'vedette_pipeline_windows_per_second{device="pump-1",pipeline="bearing"} 10.0',
        'vedette_pipeline_dropped_windows{device="pump-1",pipeline="bearing"} 3.0',
        'vedette_pipeline_alarm{device="pump-1",pipeline="bearing"} 1.0',
        'vedette_pipeline_notice{device="pump-1",pipeline="bearing"} 0.0',
        'vedette_pipeline_sensor_trouble{device="pump-1",pipeline="bearing"} 1.0',
        'vedette_pipeline_sensor_trouble{device="pump-2",pipeline="bearing"} 0.0',
    ):
        assert line in text.splitlines()


def test_the_page_is_whole_and_keeps_to_its_own_files(served):
    page = served.text("")
    assert "<title>Vedette</title>" in page
    assert "vedette run --config edge.toml" in page
    for asset in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
        assert served.text(asset[1:])
    for name in ("page.html", "page.css", "page.js", "chart.js", "spectrum.js"):
        text = served.text(f"static/{name}").replace("http://www.w3.org/2000/svg", "")
        assert "http" not in text.replace("https:", "http:"), "nothing may come from elsewhere"
        assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(", text)
    assert not re.search(r"<script>|<style| style=| on\w+=", page)


def test_every_answer_carries_the_security_headers(served):
    for path in ("", "api/alerts", "static/page.js", "metrics", "healthz"):
        with urllib.request.urlopen(served.url + path, timeout=5) as answer:
            assert answer.headers["content-security-policy"].startswith("default-src 'self'")
            assert answer.headers["x-content-type-options"] == "nosniff"


def test_markup_from_a_device_is_never_served_as_markup(served):
    with urllib.request.urlopen(served.url + "api/alerts", timeout=5) as answer:
        assert answer.headers["content-type"] == "application/json"
    assert MARKUP not in served.text("")


def test_files_outside_the_page_are_not_served(served):
    for path in ("static/../web.py", "static/%2e%2e/web.py", "static/"):
        with pytest.raises(urllib.error.HTTPError) as missing:
            urllib.request.urlopen(served.url + path, timeout=5)
        missing.value.close()


def test_the_stream_tells_of_changes_and_ends_when_stopping(tmp_path):
    served = Served(tmp_path / "collector.db")
    with urllib.request.urlopen(served.url + "api/stream", timeout=5) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = iter(stream.readline, b"")
        assert b"event: change\n" in lines  # consumed up to here: the first is for a fresh page
        served.store.add([received(alert())])
        assert b"event: change\n" in lines
        served.close()
        assert b"event: change\n" not in lines  # and it has ended
