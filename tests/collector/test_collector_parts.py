"""Parts that did not pass, what people say of them, and the evidence of their readings."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request

import pytest
import uvicorn
from collector_helpers import alert, effort, received
from real_broker import until

from collector import queries, web
from collector.evidence import Fetcher
from collector.ingest import Ingest
from collector.metrics import Metrics
from collector.store import Store
from contract import messages
from contract.messages import Command, Reading, Review

SEEN = "5" * 64


def reading(part, label="reject", **more):
    return Reading(workload="inspection", label=label, score=0.9, part=part, **more)


class FakeClient:
    """Keeps what is published."""

    def __init__(self):
        self.sent = []

    def publish(self, topic, payload, qos):
        self.sent.append(messages.decode(topic, payload, prefix="vedette"))
        assert qos == 1


class Page:
    """The web as whoever has a browser reaches it."""

    def __init__(self, app):
        listener = socket.create_server(("127.0.0.1", 0))
        self._url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, daemon=True
        )
        self._thread.start()
        until(lambda: self._server.started)

    def ask(self, path, body=None, *, kind="application/json"):
        """Status and answer."""
        asked = urllib.request.Request(self._url + path, body, {"content-type": kind})
        try:
            with urllib.request.urlopen(asked, timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def close(self):
        self._server.should_exit = True
        self._thread.join(5)


@pytest.fixture
def told(tmp_path):
    """A store with some parts, its page, and the client commands go out by."""
    path = tmp_path / "collector.db"
    store = Store(path)
    store.add(
        [
            received(body, pipeline="tubes")
            for body in (
                reading(1, evidence=SEEN),
                reading(2, "pass"),
                reading(3, "review"),
                reading(1, verdict="good"),
                reading(4),
                reading(None, "hum"),
                alert(),
            )
        ]
    )
    client = FakeClient()
    ingest = Ingest(client, store, prefix="vedette", observe=lambda *_: None)
    app = web.make_app(path, ingest, Metrics(), Fetcher(path), threading.Event())
    page = Page(app)
    yield path, page, client
    page.close()
    store.close()


def test_parts_that_did_not_pass_are_listed_with_what_people_said(told):
    _, page, _ = told
    found = page.ask("/api/parts")[1]["parts"]
    assert [(one["part"], one["label"], one["verdict"]) for one in found] == [
        (4, "reject", None),
        (3, "review", None),
        (1, "reject", "good"),
    ]
    assert found[-1]["evidence"] == SEEN


def test_the_evidence_of_a_reading_is_found(told):
    path, *_ = told
    with queries.reading(path) as db:
        assert queries.device_with(db, SEEN) == "pump-1"
        assert queries.device_with(db, "6" * 64) is None


def say(page, **changes):
    body = {"device": "pump-1", "pipeline": "tubes", "part": 4, "verdict": "defect", **changes}
    return page.ask("/api/review", json.dumps(body).encode())


def test_what_a_person_says_goes_to_the_device(told):
    _, page, client = told
    status, _ = say(page)
    assert status == 202
    (sent,) = client.sent
    assert sent.address.device == "pump-1"
    review = Review(pipeline="tubes", part=4, verdict="defect")
    assert sent.body == Command(name="review", reviews=[review])


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        pytest.param({"part": 1}, 404, id="it has been said"),
        pytest.param({"part": 2}, 404, id="it has passed"),
        pytest.param({"part": 99}, 404, id="there is none"),
        pytest.param({"device": "pump-2"}, 404, id="of another device"),
        pytest.param({"device": "a/b"}, 400, id="no name"),
        pytest.param({"verdict": "maybe"}, 400, id="no verdict"),
        pytest.param({"part": -1}, 400, id="no number"),
        pytest.param({"more": "x" * 2000}, 413, id="too long"),
    ],
)
def test_what_no_verdict_is_due_on_goes_nowhere(told, changes, status):
    _, page, client = told
    code, answer = say(page, **changes)
    assert code == status
    assert answer["error"]
    assert client.sent == []


def test_a_form_of_another_site_can_say_nothing(told):
    _, page, client = told
    body = json.dumps({"device": "pump-1", "pipeline": "tubes", "part": 4, "verdict": "good"})
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        status, _ = page.ask("/api/review", body.encode(), kind=kind)
        assert status == 415
    assert page.ask("/api/review")[0] == 405
    assert client.sent == []


def test_a_million_parts_that_passed_cost_nothing(tmp_path):
    """What did not pass is found by an index of its own."""
    store = Store(tmp_path / "collector.db")
    few = [received(reading(n, "reject" if n % 50 == 0 else "pass")) for n in range(200)]
    store.add(few)
    with queries.reading(store.path) as db:
        before = effort(db, lambda db: queries.parts(db, limit=4))
        one_before = effort(db, lambda db: queries.has_part(db, "pump-1", "bearing", 50))
    store.add([received(reading(n, "pass")) for n in range(200, 4000)])
    with queries.reading(store.path) as db:
        assert effort(db, lambda db: queries.parts(db, limit=4)) < 1.5 * before + 5
        after = effort(db, lambda db: queries.has_part(db, "pump-1", "bearing", 50))
        assert after < 1.5 * one_before + 5
    store.close()
