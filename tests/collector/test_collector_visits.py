"""People come and go, several at once: what the page says is raised must be."""

import pytest
from collector_helpers import alert, received

from collector import fleet, queries
from collector.store import Store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "collector.db"


def raised(path, *told):
    """Who of the notices is shown as raised after these (state, visit, label, who)."""
    store = Store(path)
    store.add(
        [
            received(alert(state, label=label, level="notice", visit=visit, who=who))
            for state, visit, label, who in told
        ]
    )
    store.close()
    with queries.reading(path) as db:
        (device,) = fleet.devices(db, now_ns=0)
    notice = device["pipelines"][0]["notice"]
    return (notice["visit"], notice["who"]) if notice["state"] == "raised" else None


ANNA, BEN = ("a1", "recognised", "anna"), ("b2", "recognised", "ben")
DOUBT = ("a1", "unresolved", None)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([("raised", *ANNA)], ("a1", "anna")),
        ([("raised", *ANNA), ("raised", *BEN)], ("b2", "ben")),
        ([("raised", *ANNA), ("raised", *BEN), ("cleared", *BEN)], ("a1", "anna")),
        ([("raised", *ANNA), ("raised", *BEN), ("cleared", *ANNA)], ("b2", "ben")),
        ([("raised", *ANNA), ("raised", *BEN), ("cleared", *ANNA), ("cleared", *BEN)], None),
        ([("raised", *DOUBT), ("cleared", *DOUBT), ("raised", *ANNA)], ("a1", "anna")),
        ([("raised", *DOUBT), ("raised", *BEN), ("cleared", *DOUBT)], ("b2", "ben")),
    ],
)
def test_a_visit_that_ends_does_not_end_the_others(path, told, expected):
    assert raised(path, *told) == expected


def test_what_is_no_visit_is_over_when_it_says_so(path):
    """Whatever was raised and never cleared before it."""
    told = ("raised", None, "level", None), ("raised", None, "novelty", None)
    assert raised(path, *told, ("cleared", None, "level", None)) is None
