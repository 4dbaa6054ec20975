"""Whatever a broker delivers is stored or rejected, acknowledged once, and can be shown."""

from __future__ import annotations

import atexit
import itertools
import tempfile
from pathlib import Path
from types import SimpleNamespace

from fuzz import fuzz_decode

from collector import fleet, queries
from collector.evidence import Fetcher
from collector.ingest import Ingest
from collector.store import Store
from contract import messages

_SHOW_EVERY = 50

seeds = fuzz_decode.seeds
mutate = fuzz_decode.mutate


class Site:
    """Ingest and store on a database of its own, with a broker that only counts."""

    def __init__(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="vedette-fuzz-")
        atexit.register(folder.cleanup)
        self.path = Path(folder.name) / "collector.db"
        self.acknowledged: list[int] = []
        self.told: list[str] = []
        store = Store(self.path)
        store._db.execute("PRAGMA synchronous = OFF")  # what is tried here are no power cuts
        self.fetcher = Fetcher(self.path)
        self.ingest = Ingest(
            self,
            store,
            prefix=fuzz_decode.PREFIX,
            observe=lambda *_: None,
            take_evidence=self.fetcher.take,
        )

    def ack(self, mid: int, _qos: int) -> None:
        self.acknowledged.append(mid)

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        command = messages.decode(topic, payload, prefix=fuzz_decode.PREFIX)
        self.told += command.body.ids

    def subscribe(self, topics: object) -> None:
        raise AssertionError(topics)


_sites: list[Site] = []
_mids = itertools.count(1)


def one(data: bytes) -> None:
    """Through the callback of the network thread and the body of the writer thread."""
    if not _sites:
        _sites.append(Site())
    (site,) = _sites
    topic, _, payload = data.partition(b"\n")
    mid = next(_mids)
    site.fetcher.want(fuzz_decode.SHA256, "d1")
    message = SimpleNamespace(
        topic=topic.decode("utf-8", "replace"), payload=payload, qos=1, mid=mid
    )
    site.ingest.on_message(site, None, message)
    site.ingest._settle(site.ingest._next_batch(), None)
    assert site.acknowledged == [mid], "neither stored nor rejected: it would come again for ever"
    assert len(site.told) <= 1
    site.acknowledged.clear()
    site.told.clear()
    if mid % _SHOW_EVERY == 0:
        _show(site.path)


def _show(path: Path) -> None:
    """What the page asks for."""
    with queries.reading(path) as db:
        fleet.devices(db, now_ns=fuzz_decode.STAMP.ts_ns)
        queries.alerts(db, limit=50)
        queries.scores(db, limit=50)
        queries.rejected(db, limit=50)
        queries.summary(db)
