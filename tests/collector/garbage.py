"""What a broken or hostile publisher might send: seeded, so that a failure can be had again."""

import random

from collector_helpers import (
    PREFIX,
    a_score,
    alert,
    encode,
    health,
    pipeline_health,
    sensor,
)

from contract.messages import Status
from contract.messages import replayed as mark_replayed

MOST = 2**63 - 1
TEXTS = (
    "",
    "'; DROP TABLE message;--",
    "<script>alert(1)</script>",
    "\0",
    "ß\u202e\U0001f4a5",
    "%s",
)
_TOKENS = (
    *(b"null", b"NaN", b"-1", b"1e999", b"0.0", b"true", b"9" * 400, b"9223372036854775808"),
    *(b"\\ud800", b"\\u0000", b"\xff\xfe", b"[" * 5000, b'{"a":' * 3000, b'"', b"}", b"{"),
    *(b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:60Z", b'"id":"x",', b'"data":{},'),
)


class Garbage:
    """Topics and payloads without end; some of them are messages, of devices that are none."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def next(self) -> tuple[str, bytes]:
        """Never of a device whose name does not begin with `junk`."""
        rng = self._rng
        encoded = self._message()
        kind = rng.randrange(10)
        if kind < 3:
            return encoded.topic, encoded.payload
        if kind < 7:
            return encoded.topic, self._mutated(encoded.payload)
        if kind < 8:
            return encoded.topic, rng.randbytes(rng.choice([0, 1, 100, 5000, 200_000]))
        return self._topic(), encoded.payload

    def _message(self):
        rng = self._rng
        about = {rng.choice(["a", *TEXTS]): pipeline_health(engine=rng.choice(TEXTS))}
        text = rng.choice(TEXTS)
        body = rng.choice(
            [
                *(alert("raised", text, 1.7e308), alert("cleared", "x", -1.7e308)),
                *(sensor(label=text), health(pipelines=about, uptime_s=1e308)),
                *(a_score(rng.gauss(0, 1)), Status(state=rng.choice(["online", "offline"]))),
            ]
        )
        encoded = encode(
            body,
            device=f"junk-{rng.randrange(10**9)}" if rng.random() < 0.5 else "junk",
            pipeline=f"p{rng.randrange(10**9)}" if rng.random() < 0.5 else "p",
            boot_id=str(rng.randrange(10**9)) if rng.random() < 0.5 else text,
            seq=rng.choice([0, 1, 2**53, rng.randrange(1000)]),
            window=rng.choice([None, 0, 2**53]),
            ts_ns=1_700_000_000 * 10**9,
            mono_ns=rng.choice([0, MOST, rng.randrange(MOST)]),
            clock_synced=rng.random() < 0.5,
        )
        payload = encoded.payload
        if rng.random() < 0.3:  # a stamp that no clock of today could encode
            payload = payload.replace(b'"ts_ns":1700000000000000000', b'"ts_ns":%d' % MOST)
        if rng.random() < 0.1:  # an id that others have too
            payload = payload.replace(encoded.id.encode(), b"%032d" % rng.randrange(20))
        if rng.random() < 0.3:
            payload = mark_replayed(payload)
        object.__setattr__(encoded, "payload", payload)
        return encoded

    def _mutated(self, payload: bytes) -> bytes:
        rng, changed = self._rng, bytearray(payload)
        for _ in range(rng.randint(1, 4)):
            start = rng.randrange(len(changed) + 1)
            end = start + rng.choice([0, 1, 2, 5, 20, 200])
            changed[start:end] = rng.choice(
                [rng.choice(_TOKENS), b"", rng.randbytes(2), bytes(changed[start:end]) * 2]
            )
        return bytes(changed)

    def _topic(self) -> str:
        rng = self._rng
        junk = "junk" + rng.choice([*TEXTS, "x" * 64, "x" * 60_000]).replace("\0", "")
        return rng.choice(
            [
                f"{PREFIX}/{junk}/p/alert",
                f"{PREFIX}/junk/{junk}/sensor",
                f"{PREFIX}/junk/command/alert",
                f"{PREFIX}//p/alert",
                f"{PREFIX}/junk/p/score",
                f"{PREFIX}/junk/alert/alert",
                f"{PREFIX}/{junk}/health",
                f"{PREFIX}/alert/status",
            ]
        )
