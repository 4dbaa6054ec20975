"""Who is enrolled, who a face is, and a file that shows every change."""

from __future__ import annotations

import datetime as dt

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract import gallery
from contract.gallery import Consent, GalleryError, Match, Person, Picture

TODAY = dt.date(2026, 6, 1)
KEY = b"0123456789abcdef"


def person(name, *vectors, negatives=(), until=None, ident=None):
    """Somebody with these embeddings."""
    return Person(
        ident or name.encode().hex(),
        name,
        Consent(name, "test", dt.date(2026, 1, 1), until),
        tuple(Picture(gallery.to_text(np.array(v, np.float32)), 1.0) for v in vectors),
        tuple(gallery.to_text(np.array(v, np.float32)) for v in negatives),
    )


def made(*people, same=0.9):
    found = gallery.begin("model", same=same)
    for one in people:
        found = gallery.changed(found, one)
    return found


def learned(*people, threshold=0.9, margin=0.0, today=TODAY):
    return gallery.to_arrays(made(*people), today=today, threshold=threshold, margin=margin)


def seen(*numbers):
    return np.array(numbers, np.float32)


ANNA = person("Anna", [1, 0, 0])
BEN = person("Ben", [0, 1, 0], [0, 3, 4])


def test_a_face_is_its_most_alike_picture_and_the_next_person_follows():
    """(0.6, 0.8, 0): 0.6 to Anna; to Ben 0.8 by the first picture, 0.48 by the second."""
    found = gallery.match(learned(ANNA, BEN, threshold=0.7), seen(6, 8, 0))
    assert (found.name, found.nearest, found.second) == ("Ben", "Ben", "Anna")
    assert found.cosine == pytest.approx(0.8)
    assert found.second_cosine == pytest.approx(0.6)
    assert found.margin == pytest.approx(0.2)


def test_below_the_threshold_a_face_is_nobodys_and_there_is_nothing_in_between():
    """At the threshold it has a name, below it none."""
    arrays = learned(ANNA, BEN, threshold=0.8)
    just = gallery.match(arrays, seen(8, 6, 0)).cosine
    at = learned(ANNA, BEN, threshold=just)
    above = learned(ANNA, BEN, threshold=np.nextafter(just, 1.0))
    assert gallery.match(at, seen(8, 6, 0)).name == "Anna"
    below = gallery.match(above, seen(8, 6, 0))
    assert (below.name, below.nearest) == (None, "Anna")


def test_who_is_not_ahead_enough_is_not_named():
    """0.8 to one, 0.6 to the other: 0.2 ahead."""
    assert gallery.match(learned(ANNA, BEN, threshold=0.7, margin=0.19), seen(8, 6, 0)).name
    assert not gallery.match(learned(ANNA, BEN, threshold=0.7, margin=0.21), seen(8, 6, 0)).name


def test_nobody_enrolled_is_nobody():
    """Neither without a gallery nor with an empty one."""
    assert gallery.match({}, seen(1, 0, 0)) == Match(None)
    assert gallery.match(learned(), seen(1, 0, 0)) == Match(None)


def test_alone_in_a_gallery_there_is_no_second():
    """The margin is then the largest there is."""
    found = gallery.match(learned(ANNA), seen(2, 0, 0))
    assert (found.name, found.second) == ("Anna", None)
    assert found.margin == pytest.approx(2.0)


def test_a_face_nearer_to_a_negative_is_not_that_person_at_once():
    """cos 0.96 to Anna, but 1.0 to the negative; the next in line may be named."""
    twin = seen(0.96, 0.28, 0)
    assert gallery.match(learned(ANNA, BEN), twin).name == "Anna"
    wiser = person("Anna", [1, 0, 0], negatives=[[0.96, 0.28, 0]])
    found = gallery.match(learned(wiser, BEN), twin)
    assert (found.name, found.nearest, found.ruled_out) == (None, "Ben", ("Anna",))
    assert gallery.match(learned(wiser, BEN), seen(1, 0, 0)).name == "Anna"
    other = person("Carl", [0.98, 0.2, 0])
    assert gallery.match(learned(wiser, other), twin).name == "Carl"
    assert gallery.match(learned(wiser), twin).ruled_out == ("Anna",)


def test_a_negative_concerns_one_person_only():
    """Ben's negative says nothing of Anna."""
    ben = person("Ben", [0, 1, 0], negatives=[[1, 0, 0]])
    assert gallery.match(learned(ANNA, ben), seen(1, 0, 0)).name == "Anna"


def test_whose_consent_has_ended_is_never_matched():
    """The last day counts, the next does not."""
    until = person("Anna", [1, 0, 0], negatives=[[0, 0, 1]], until=TODAY)
    assert gallery.match(learned(until, BEN), seen(1, 0, 0)).name == "Anna"
    after = learned(until, BEN, today=TODAY + dt.timedelta(days=1))
    assert gallery.match(after, seen(1, 0, 0)).nearest == "Ben"
    assert len(after["negatives"]) == 0
    assert len(after["vectors"]) == 2


@given(
    st.lists(
        st.tuples(
            st.text("abcdefghijklmnopqrstuvwxyzäöü", min_size=1, max_size=6),
            st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3),
            st.lists(st.integers(0, 2**32 - 1), max_size=2),
            st.none() | st.dates(),
        ),
        max_size=5,
        unique_by=lambda one: gallery.folded(one[0]),
    ),
    st.none() | st.binary(min_size=16, max_size=40),
)
@settings(max_examples=60, deadline=None)
def test_a_file_says_again_what_was_written(people, key):
    """Every field, to the last bit of every embedding."""

    def drawn(seed):
        return np.random.default_rng(seed).normal(size=8)

    before = made(
        *(
            person(name, *map(drawn, own), negatives=list(map(drawn, negatives)), until=until)
            for name, own, negatives, until in people
        )
    )
    raw = gallery.encode(before, key)
    after = gallery.decode(raw, key)
    assert after.persons == before.persons
    assert (after.id, after.version, after.key_id) == (
        before.id,
        before.version,
        gallery.key_id(key),
    )
    assert gallery.encode(after, key) == raw
    for one in after.persons:
        assert np.linalg.norm(one.vectors, axis=1) == pytest.approx(1.0)


@given(st.data(), st.sampled_from([None, KEY]))
@settings(max_examples=150, deadline=None)
def test_no_byte_can_be_changed(data, key):
    """Nor taken away or put in."""
    raw = gallery.encode(made(ANNA, BEN), key)
    at = data.draw(st.integers(0, len(raw) - 1))
    put = data.draw(st.binary(max_size=2))
    changed = raw[:at] + put + raw[at + data.draw(st.integers(0, 2)) :]
    if changed != raw:
        with pytest.raises(GalleryError):
            gallery.decode(changed, key)


def test_who_has_no_key_cannot_seal_anew():
    """A gallery made by somebody else is refused, whatever it says of its key."""
    own = gallery.decode(gallery.encode(made(ANNA), KEY), KEY)
    forged = msgspec.structs.replace(own, persons=(person("Mallory", [1, 0, 0]),))
    with pytest.raises(GalleryError, match="not signed, and only what key"):
        gallery.decode(gallery.encode(forged, None), KEY)
    with pytest.raises(GalleryError, match="not with"):
        gallery.decode(gallery.encode(forged, b"another key, as long"), KEY)
    lie = gallery.encode(forged, None).replace(
        b'"key_id": ""', f'"key_id": "{own.key_id}"'.encode()
    )
    with pytest.raises(GalleryError, match="seal does not fit"):
        gallery.decode(lie, KEY)
    with pytest.raises(GalleryError, match="no key is given; fix"):
        gallery.decode(gallery.encode(own, KEY), None)


def test_another_format_is_told():
    """Of a version to come."""
    newer = msgspec.structs.replace(made(ANNA), format_version=2)
    with pytest.raises(GalleryError, match="format 2, this version reads 1; fix"):
        gallery.decode(gallery.encode(newer, None), None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"name": "Ben"', '"name": "ANNA"'),
        ('"name": "Ben"', '"name": ""'),
        ('"name": "Ben"', '"name": "B\\u200bn"'),
        ('"version": 3', '"version": 0'),
        ('"same": 0.9', '"same": 1.5'),
        ('"erased": []', '"erased": [1]'),
        (gallery.to_text(seen(0, 1, 0)), gallery.to_text(seen(0, 1))),
        (gallery.to_text(seen(0, 1, 0)), "AAAAAAAAAAAAAAAA"),
        (gallery.to_text(seen(0, 1, 0)), "AADAfwAAwH8AAMB/"),
        (gallery.to_text(seen(0, 1, 0)), "not base64 at all"),
    ],
)
def test_what_is_sealed_must_make_sense_too(old, new):
    """Whoever has the key may still make mistakes."""
    raw = gallery.encode(made(ANNA, BEN), None)
    assert raw.count(old.encode()) == 1
    with pytest.raises(GalleryError, match="no gallery, or damaged"):
        gallery.decode(raw.replace(old.encode(), new.encode()), None)


@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff", b"[" * 100_000, b"null", b"PK\x03\x04"])
def test_what_is_no_gallery_is_told(raw):
    """Whatever it is."""
    with pytest.raises(GalleryError, match="no gallery, or damaged"):
        gallery.decode(raw, None)


def test_changing_somebody_keeps_the_order_and_counts_the_version():
    """By name; the same id is the same person."""
    before = made(BEN, ANNA)
    assert [one.name for one in before.persons] == ["Anna", "Ben"]
    assert before.version == 3
    renamed = gallery.changed(before, msgspec.structs.replace(ANNA, name="Zoë"))
    assert [one.name for one in renamed.persons] == ["Ben", "Zoë"]
    gone = gallery.changed(before, None, without=BEN.id)
    assert [one.name for one in gone.persons] == ["Anna"]


def test_a_name_is_found_however_it_is_written():
    """Capitals, spaces, and letters put together from two."""
    found = made(person("Zoë Ann", [1, 0]))
    assert gallery.clean_name("  Zoe\u0308   Ann ") == "Zoë Ann"
    assert found.find("ZOE\u0308 ANN") == found.persons[0]
    assert found.find("Zoe Ann") is None


@pytest.mark.parametrize("name", ["", "   ", "a\x00b", "x" * 65, "\u202eAnna"])
def test_what_does_not_show_is_no_name(name):
    """Nor is what nobody can read."""
    with pytest.raises(GalleryError, match="is no name; fix"):
        gallery.clean_name(name)
