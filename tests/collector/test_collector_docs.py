"""docs/collector.md says what there is, and its examples have the fields that are answered."""

import json
import re
import time
from pathlib import Path

import pytest
from collector_helpers import (
    PREFIX,
    a_score,
    alert,
    health,
    pipeline_health,
    received,
    sensor,
)

from collector import dating, evidence, fleet, ingest, queries, store
from collector.ingest import Ingest
from collector.metrics import Metrics, StoreMetrics
from collector.store import Rejected, Store
from contract.evidence import MAX_BYTES
from contract.messages import Reading, Status

DOCS = (Path(__file__).parents[2] / "docs" / "collector.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("docs") / "collector.db"
    opened = Store(path)
    now_ns = time.time_ns()
    opened.add(
        [
            received(body, ts_ns=now_ns, at_ns=now_ns)
            for body in (
                Status(state="online"),
                health(
                    pipelines={"bearing": pipeline_health(latency_ms={"embed": 2.4})},
                    cpu_temperature_c=40.0,
                ),
                a_score(),
                alert(),
                sensor(),
                Reading(workload="inspection", label="reject", score=0.9, part=1),
            )
        ],
        [Rejected("vedette/x", "topic has no known kind", b"x", 1, now_ns)],
    )
    opened.close()
    return path


def example(title):
    """The JSON below a heading of the API."""
    below = DOCS.split(f"### `GET {title}")[1]
    return json.loads(re.search(r"```json\n(.*?)```", below, re.DOTALL)[1])


# Of these the fields are the device's: some free, the others explained in docs/mqtt.md.
FREE = ("dropped", "outbox", "throttled", "sizes")


def shape(value):
    """The names of all fields, in their order; of lists those of each element."""
    if isinstance(value, dict):
        return {name: None if name in FREE else shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return None


ANSWERS = {
    "/api/alerts": lambda db: {"alerts": queries.alerts(db, limit=9)},
    "/api/devices": lambda db: {
        "now_ns": 0,
        "left_out": 0,
        "devices": fleet.devices(db, now_ns=0),
    },
    "/api/scores": lambda db: {"series": queries.scores(db, limit=9)},
    "/api/parts": lambda db: {"parts": queries.parts(db, limit=9)},
    "/api/summary": queries.summary,
    "/api/rejected": lambda db: {"rejected": queries.rejected(db, limit=9)},
}


@pytest.mark.parametrize("title", ANSWERS)
def test_examples_have_the_fields_of_the_answers(path, title):
    with queries.reading(path) as db:
        answer = shape(ANSWERS[title](db))
    assert json.dumps(shape(example(title))) == json.dumps(answer)


def test_every_metric_is_in_the_table_with_its_labels(path):
    metrics = Metrics()
    metrics.registry.register(
        StoreMetrics(path, Ingest(None, None, prefix=PREFIX, observe=metrics.observe))
    )
    exported = {}
    for family in metrics.registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        # of a histogram only `kind`, which it has once something was observed
        labels = {label for sample in family.samples for label in sample.labels}
        exported[name] = labels - {"le"}
    exported["vedette_latency_seconds"] = {"kind"}
    rows = re.findall(r"^\| `(vedette_\w+)` \|([^|]*)\|", DOCS, re.MULTILINE)
    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows} == exported


def test_the_numbers_are_those_of_the_code():
    for text in (
        f"Of scores at least the newest {store.KEEP['score']} per pipeline",
        f"health the newest {store.KEEP['health']} per device",
        f"rejected messages the newest {store.KEEP_REJECTED}",
        f"the {queries.MOST_DEVICES} devices heard of last",
        f"{queries.MOST_PIPELINES} pipelines of each",
        f"{queries.MOST_SERIES} plots, and {queries.MOST_BYTES >> 20} MiB",
        f"up to {evidence.KEEP_BYTES >> 30} GiB; the oldest goes first",
        f"{evidence.MOST_FETCHES} files of evidence, of at most {MAX_BYTES >> 20} MiB each",
        f"at the latest every {ingest._RETRY_MOST_S:.0f} s",
        "over the newest 10 000 rows",
    ):
        assert text in re.sub(r"\s+", " ", DOCS)
    assert queries.LATENCY_ROWS == 10_000


def test_whose_word_a_date_is_has_a_row_each():
    (table,) = re.findall(r"^\| `dated_by` .*?\n\n", DOCS, re.MULTILINE | re.DOTALL)
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)[1:] == list(dating.DatedBy.__args__)
