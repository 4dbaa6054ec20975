"""Evidence: asked for by hash, put together, verified, kept; and each way in which it cannot be."""

import asyncio
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from collector_helpers import PREFIX, alert, effort, received
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from test_collector_docs import example, shape

from collector import evidence_web, fleet, queries
from collector.answers import refuse
from collector.evidence import ASK_AGAIN_S, MOST_FETCHES, BusyError, Fetcher
from collector.ingest import Ingest
from collector.store import Store
from contract import evidence, messages
from contract.evidence import EvidenceFile
from contract.messages import Address, Evidence, Stamp

STAMP = Stamp(ts_ns=0, mono_ns=0, boot_id="b", seq=0, clock_synced=True)
FILE = EvidenceFile(
    window=np.ones((50, 2), np.float32),
    rate_hz=100.0,
    wall_ns=7,
    seq=9,
    source="/vedette/pump-1/bearing",
    workload="machine_condition",
    spectra={
        "frequency_hz": np.array([0.0, 2.0, 4.0]),
        "present": np.array([[0.1, 0.123456789, np.nan]]),
        "healthy": np.array([[0.1, 0.2, 0.3]]),
    },
    trend=np.array([[-1.0, 0.5], [0.0, 1.5]], np.float32),
)
RAW = evidence.encode(FILE)
SHA256 = hashlib.sha256(RAW).hexdigest()


class Clock:
    now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "collector.db"
    Store(path).close()
    return path


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def fetcher(path, clock):
    return Fetcher(path, mono_s=clock)


def part(number, of, content, *, sha256=SHA256, device="pump-1"):
    """As it comes out of the broker."""
    body = Evidence(sha256=sha256, part=number, parts=of, content=content)
    sent = messages.encode(body, Address(PREFIX, device), STAMP)
    return messages.decode(sent.topic, sent.payload, prefix=PREFIX)


def parts(raw=RAW, size=1000, **of_whom):
    cut = [raw[i : i + size] for i in range(0, len(raw), size)]
    return [part(number, len(cut), content, **of_whom) for number, content in enumerate(cut)]


def give(fetcher, given):
    for each in given:
        fetcher.take(each)


def test_parts_in_any_order_and_twice_are_put_together(fetcher, path):
    assert fetcher.want(SHA256, "pump-1")
    came = parts()
    assert len(came) > 2
    give(fetcher, [*came[1:], came[1]])
    assert fetcher.get(SHA256) is None
    assert (len(fetcher.progress(SHA256).parts), fetcher.progress(SHA256).of) == (
        len(came) - 1,
        len(came),
    )
    fetcher.take(came[0])
    assert fetcher.get(SHA256) == RAW
    assert fetcher.progress(SHA256) is None
    assert [file.stem for file in path.with_name("collector.db.evidence").iterdir()] == [SHA256]


def test_what_nobody_asked_for_or_another_device_sends_is_passed_over(fetcher):
    give(fetcher, parts())
    assert fetcher.get(SHA256) is None
    fetcher.want(SHA256, "pump-1")
    give(fetcher, [part(0, 1, b"mine", device="pump-9"), part(0, 0, b"", device="pump-9")])
    assert fetcher.progress(SHA256).parts == {}
    give(fetcher, parts())
    assert fetcher.get(SHA256) == RAW


def test_what_does_not_have_the_hash_is_not_kept(fetcher):
    fetcher.want(SHA256, "pump-1")
    give(fetcher, parts(RAW[:-1] + b"?"))
    assert fetcher.get(SHA256) is None
    assert "not what its hash says" in fetcher.progress(SHA256).failure


def test_a_device_that_sends_without_end_is_stopped(fetcher, monkeypatch):
    monkeypatch.setattr("collector.evidence.MAX_BYTES", 2500)
    fetcher.want(SHA256, "pump-1")
    give(fetcher, [part(n, 4000, b"x" * 1000) for n in range(3)])
    assert "larger than" in fetcher.progress(SHA256).failure
    assert fetcher.progress(SHA256).parts == {}
    fetcher.want("ab" * 32, "pump-1")
    fetcher.take(part(0, 2**53, b"x", sha256="ab" * 32))
    assert "larger than" in fetcher.progress("ab" * 32).failure


def test_a_device_that_begins_again_with_other_parts_is_followed(fetcher):
    """It was restarted with another version in between."""
    fetcher.want(SHA256, "pump-1")
    give(fetcher, parts(size=900)[:2])
    give(fetcher, parts())
    assert fetcher.get(SHA256) == RAW


def test_a_folder_that_takes_nothing_is_told(fetcher, path):
    path.with_name("collector.db.evidence").write_text("in the way")
    fetcher.want(SHA256, "pump-1")
    give(fetcher, parts())
    assert "cannot be kept: File exists" in fetcher.progress(SHA256).failure


def test_a_device_is_asked_again_only_after_it_has_been_silent_for_a_while(fetcher, clock):
    assert fetcher.want(SHA256, "pump-1")
    assert not fetcher.want(SHA256, "pump-1")
    clock.now_s += ASK_AGAIN_S - 1
    give(fetcher, parts()[:1])
    clock.now_s += ASK_AGAIN_S - 1
    assert not fetcher.want(SHA256, "pump-1")
    clock.now_s += 1
    assert fetcher.want(SHA256, "pump-1")
    assert len(fetcher.progress(SHA256).parts) == 1, "what came before the silence still counts"


def test_what_was_gone_or_failed_may_be_asked_for_again(fetcher, clock):
    """The hash may have been put in order by hand, or the disk."""
    fetcher.want(SHA256, "pump-1")
    fetcher.take(part(0, 0, b""))
    assert fetcher.progress(SHA256).is_gone
    assert not fetcher.want(SHA256, "pump-1")
    clock.now_s += ASK_AGAIN_S
    assert fetcher.want(SHA256, "pump-1")
    assert not fetcher.progress(SHA256).is_gone
    give(fetcher, parts())
    assert fetcher.get(SHA256) == RAW


def test_only_so_many_are_fetched_at_a_time_and_those_nobody_wants_any_more_are_forgotten(
    fetcher, clock
):
    for number in range(MOST_FETCHES):
        fetcher.want(f"{number:064x}", "pump-1")
    with pytest.raises(BusyError):
        fetcher.want(SHA256, "pump-1")
    clock.now_s += 61
    assert fetcher.want(SHA256, "pump-1")
    assert fetcher.progress(f"{0:064x}") is None


class Site:
    """The two addresses without a server, and a device that answers when told to."""

    def __init__(self, path, fetcher, *, wait_s=0.0):
        self.asked = []
        self.answers = []
        self.fetcher = fetcher
        pages = evidence_web.Pages(path, fetcher, self._tell, wait_s=wait_s)
        self.app = Starlette(routes=pages.routes(), exception_handlers={HTTPException: refuse})

    def _tell(self, device, command):
        self.asked.append((device, command.name, command.ids))
        give(self.fetcher, self.answers)

    def get(self, path):
        """Status, headers and body."""
        sent = []

        async def send(message):
            sent.append(message)

        async def receive():
            return {"type": "http.disconnect"}

        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
        asyncio.run(self.app(scope, receive, send))
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], headers, b"".join(each.get("body", b"") for each in sent[1:])

    def json(self, path):
        status, _, body = self.get(path)
        return status, json.loads(body)


@pytest.fixture
def site(path, fetcher):
    store = Store(path)
    store.add([received(alert(evidence=SHA256)), received(alert("cleared"))])
    store.close()
    return Site(path, fetcher)


URL = f"/api/evidence/{SHA256}"


def test_the_first_to_ask_causes_the_device_to_be_asked_and_the_next_gets_the_file(site):
    status, body = site.json(URL)
    assert (status, body) == (
        202,
        {"state": "fetching", "device": "pump-1", "parts": 0, "of": None},
    )
    assert site.asked == [("pump-1", "evidence", [SHA256])]
    give(site.fetcher, parts()[:2])
    assert site.json(URL)[1]["parts"] == 2
    give(site.fetcher, parts())
    status, headers, body = site.get(URL)
    assert (status, hashlib.sha256(body).hexdigest()) == (200, SHA256)
    assert f'filename="{SHA256}.npz"' in headers["content-disposition"]
    assert "immutable" in headers["cache-control"]
    assert len(site.asked) == 1


def test_whoever_waits_gets_it_at_once(path, fetcher, site):
    waiting = Site(path, fetcher, wait_s=5.0)
    waiting.answers = parts()
    assert waiting.get(URL)[0] == 200


def test_the_spectra_are_those_of_the_file(site):
    site.json(URL)
    give(site.fetcher, parts())
    status, body = site.json(f"{URL}/spectra")
    assert status == 200
    assert body["spectra"]["present"] == [[0.1, 0.123457, None]]
    assert (body["samples"], body["channels"], body["rate_hz"]) == (50, 2, 100.0)
    assert body["trend"] == [[-1.0, 0.5], [0.0, 1.5]]
    assert json.dumps(shape(example("/api/evidence/SHA256/spectra"))) == json.dumps(shape(body))


def test_a_picture_is_shown_as_one(site, path):
    jpeg = b"\xff\xd8\xff\xe0 a face"
    raw = evidence.encode(replace(FILE, window=np.zeros(0), spectra={}, picture=jpeg))
    sha256 = hashlib.sha256(raw).hexdigest()
    store = Store(path)
    store.add([received(alert(evidence=sha256))])
    store.close()
    site.json(f"/api/evidence/{sha256}")
    give(site.fetcher, parts(raw, sha256=sha256))
    status, headers, body = site.get(f"/api/evidence/{sha256}/picture")
    assert (status, headers["content-type"], body) == (200, "image/jpeg", jpeg)
    assert "immutable" in headers["cache-control"]
    about = site.json(f"/api/evidence/{sha256}/spectra")[1]
    assert (about["picture"], about["spectra"], about["samples"]) == (True, {}, 0)


def test_evidence_without_a_picture_has_none(site):
    site.json(URL)
    give(site.fetcher, parts())
    assert site.json(f"{URL}/picture") == (404, {"error": "no picture is in this evidence"})


def test_every_reason_is_an_answer_of_its_own(site, clock):
    assert site.json("/api/evidence/xyz") == (
        400,
        {"error": "evidence is named by 64 hex digits, its SHA-256"},
    )
    assert site.json("/api/evidence/" + "ab" * 32)[0] == 404
    site.answers = [part(0, 0, b"")]
    assert site.json(URL) == (410, {"error": "pump-1 does not have it any more"})
    site.answers = [part(0, 1, b"wrong")]
    clock.now_s += ASK_AGAIN_S
    assert site.json(URL)[0] == 502
    clock.now_s += 61
    for number in range(MOST_FETCHES):
        site.fetcher.want(f"{number:064x}", "pump-1")
    assert site.json(URL)[0] == 503


def test_what_is_no_evidence_though_its_hash_is_right_is_told(site, path):
    raw = b"anything"
    sha256 = hashlib.sha256(raw).hexdigest()
    store = Store(path)
    store.add([received(alert(evidence=sha256))])
    store.close()
    site.json(f"/api/evidence/{sha256}")
    give(site.fetcher, parts(raw, sha256=sha256))
    assert site.json(f"/api/evidence/{sha256}/spectra")[0] == 502
    assert site.json(f"/api/evidence/{sha256}/picture")[0] == 502
    assert site.get(f"/api/evidence/{sha256}")[0] == 200


def test_it_is_found_by_an_index_however_many_alerts_there_are(path):
    store = Store(path)
    store.add([received(alert(evidence=SHA256), device="pump-2")])
    with queries.reading(path) as db:
        before = effort(db, lambda db: queries.device_with(db, SHA256))
    store.add([received(alert(evidence=f"{n:064x}")) for n in range(2000)])
    store.add([received(alert(evidence=SHA256), device="pump-3")])
    store.close()
    with queries.reading(path) as db:
        assert queries.device_with(db, SHA256) == "pump-2"
        assert effort(db, lambda db: queries.device_with(db, SHA256)) <= 2 * before + 2


class TestLevels:
    """A notice and an alarm of one pipeline are raised and cleared on their own."""

    def pipeline(self, path):
        with queries.reading(path) as db:
            ((pipeline,),) = [device["pipelines"] for device in fleet.devices(db, now_ns=0)]
        return {
            level: pipeline[level] and pipeline[level]["state"] for level in ("alarm", "notice")
        }

    def test_each_has_its_own_state(self, path):
        store = Store(path)
        for state, level, alarm, notice in (
            ("raised", "notice", None, "raised"),
            ("raised", "alarm", "raised", "raised"),
            ("cleared", "alarm", "cleared", "raised"),
            ("cleared", "notice", "cleared", "cleared"),
        ):
            store.add([received(alert(state, level=level))])
            assert self.pipeline(path) == {"alarm": alarm, "notice": notice}
        store.close()

    def test_an_old_one_that_comes_late_changes_nothing(self, path):
        store = Store(path)
        store.add([received(alert("cleared", level="notice"), seq=9)])
        store.add([received(alert("raised", level="notice"), seq=8, replayed=True)])
        store.close()
        assert self.pipeline(path) == {"alarm": None, "notice": "cleared"}

    def test_the_latest_of_a_level_is_found_by_an_index(self, path):
        """A pipeline that has raised thousands of alarms and never a notice."""

        def look(db):
            queries.newest_alert(db, "pump-1", "bearing", "notice")

        store = Store(path)
        store.add([received(alert())])
        with queries.reading(path) as db:
            before = effort(db, look)
        store.add([received(alert()) for _ in range(2000)])
        store.close()
        with queries.reading(path) as db:
            assert effort(db, look) <= 2 * before + 2


def test_a_part_is_neither_stored_nor_acknowledged_to_the_device(path):
    """It is handed on, and the broker hears that it has arrived."""
    taken, told = [], []

    class Client:
        def publish(self, topic, *_):
            told.append(topic)

        def ack(self, mid, _):
            told.append(mid)

    store = Store(path)
    ingest = Ingest(
        Client(), store, prefix=PREFIX, observe=lambda *_: None, take_evidence=taken.append
    )

    class Arrived:
        topic = f"{PREFIX}/pump-1/evidence/{SHA256}"
        payload = messages.encode(
            Evidence(sha256=SHA256, part=0, parts=1, content=b"x"), Address(PREFIX, "pump-1"), STAMP
        ).payload
        mid, qos = 5, 1

    ingest.on_message(None, None, Arrived)
    ingest._settle(ingest._next_batch(), None)
    store.close()
    assert [message.body.sha256 for message in taken] == [SHA256]
    assert told == [5]
    with queries.reading(path) as db:
        assert db.execute("SELECT count(*) FROM message").fetchone()[0] == 0
        assert queries.rejected(db, limit=9) == []
