"""Whoever is forgotten is nowhere any more, and the others are as they were."""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from gallery_people import TODAY, made, person, vector
from hypothesis import given, settings
from hypothesis import strategies as st

from contract import gallery
from edge import gallery_file, gallery_forget

NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
KEY = b"k" * 16


def everything(folder):
    """All bytes of all files below a folder, as they are and with their text undone."""
    return b"".join(one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file())


def is_in(raw, one):
    texts = [picture.embedding.encode() for picture in one.pictures]
    texts += [text.encode() for text in one.negatives]
    return any(text in raw for text in texts) or any(
        v.astype("<f4").tobytes() in raw for v in one.vectors
    )


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2)), min_size=1, max_size=5),
    st.data(),
    st.sampled_from([None, KEY]),
)
@settings(max_examples=40, deadline=None)
def test_nothing_is_left_of_whoever_is_forgotten_and_all_of_the_others(counts, data, key):
    """Whoever it is, in the gallery, the version before it and what a power cut left."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    people = [
        person(
            f"P{i}",
            *rng.normal(size=(own, 8)).astype(np.float32),
            negatives=list(rng.normal(size=(negatives, 8)).astype(np.float32)),
        )
        for i, (own, negatives) in enumerate(counts)
    ]
    gone = data.draw(st.lists(st.sampled_from(people), min_size=1, unique_by=lambda one: one.id))
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "faces.gallery"
        before = msgspec.structs.replace(made(*people), same=1.0)  # so that chance makes no twins
        gallery_file.write(path, made(*people[:1]), key)
        gallery_file.write(path, before, key)
        for end in (".tmp", ".wiping"):
            shutil.copy(path, f"{path}{end}")
        assert all(is_in(everything(Path(name)), one) for one in people)
        done = gallery_forget.forget(path, key, gone, now=NOW)
        assert done.left == ()
        assert done.people == len(gone)
        assert done.embeddings == sum(len(one.pictures) for one in gone)
        left = everything(Path(name))
        for one in gone:
            assert not is_in(left, one)
            assert f'"{one.id}"'.encode() not in left
        after = gallery_file.read(path, key)
        ids = {one.id for one in gone}
        assert after.persons == tuple(one for one in before.persons if one.id not in ids)
        assert after.erased == (NOW,) * len(gone)
        assert (after.id, after.version) == (before.id, before.version + 1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "faces.gallery"


ANNA = person("Anna", vector(0), vector(0, 1), negatives=[vector(3)])
BEN = person("Ben", vector(1), negatives=[vector(0, 2), vector(4)])


def forget(path, one=ANNA, people=(ANNA, BEN), **more):
    gallery_file.write(path, made(*people), None)
    return gallery_forget.forget(path, None, [one], now=NOW, **more)


def test_negatives_of_others_that_show_the_person_go_too(path):
    """And no other negative does."""
    done = forget(path)
    assert done.negatives == 1
    (ben,) = gallery_file.read(path, None).persons
    assert ben.negatives == (gallery.to_text(vector(4)),)


def test_negatives_that_are_somebody_elses_own_pictures_stay_theirs(path):
    """Carl was taken for Anna, and is enrolled; Anna's going takes nothing from him."""
    carl = person("Carl", vector(3))
    done = forget(path, people=(ANNA, BEN, carl))
    assert done.left == ()
    assert gallery_file.read(path, None).find("Carl") == carl


def test_who_still_stands_there_and_looks_the_same_is_named(path):
    """One person under two names."""
    twice = person("Ann", vector(0, 2))
    assert forget(path, people=(ANNA, BEN, twice)).alike == ("Ann",)


@pytest.mark.parametrize(
    ("name", "write", "what"),
    [
        ("copy.json", lambda f, raw: f.write_bytes(raw), "as text"),
        ("raw.bin", lambda f, raw: f.write_bytes(b"x" + vector(0, 1).tobytes()), "byte by byte"),
        ("negative.bin", lambda f, raw: f.write_bytes(vector(3).tobytes()), "byte by byte"),
        (
            "p.profile.npz",
            lambda f, raw: np.savez(f, other=np.ones(3), totals=7.0 * vector(0)[None]),
            "in totals",
        ),
    ],
)
def test_what_is_left_elsewhere_is_found(path, tmp_path, name, write, what):
    """In copies beside the gallery, and in the folder of the device."""
    gallery_file.write(path, made(ANNA, BEN), None)
    state = tmp_path / "state" / "deeper"
    state.mkdir(parents=True)
    for folder in (tmp_path, state):
        write(folder / name, path.read_bytes())
    done = gallery_forget.forget(
        path, None, [ANNA], now=NOW, folders=[state.parent, tmp_path / "none"]
    )
    assert len(done.left) == 2
    for folder, left in zip((tmp_path, state), done.left, strict=True):
        assert left == f"{folder / name}: an embedding, {what}"
    assert str(state / name) in done.checked


def test_files_of_other_kinds_are_read_and_hold_nothing(path, tmp_path):
    """Damaged archives, arrays of zeros and NaN, and text that looks like base64."""
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 no archive")
    np.savez(tmp_path / "good.npz", nan=np.full((2, 8), np.nan), zero=np.zeros(8), n=np.arange(8))
    (tmp_path / "text").write_bytes(b"A" * 44 + b"\n" + b"/" * 43 + b"=")
    done = forget(path)
    assert done.left == ()
    assert len(done.checked) == 4


def keep(folder, who, raw):
    folder = folder / who.id
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{hashlib.sha256(raw).hexdigest()[:12]}.jpg"
    file.write_bytes(raw)
    return file


def test_kept_pictures_are_wiped(path, tmp_path):
    """Overwritten before they are removed, and their folder with them."""
    file = keep(tmp_path / "kept", ANNA, b"a picture of Anna")
    anna = msgspec.structs.replace(ANNA, kept=(str(file), str(tmp_path / "gone.jpg")))
    with file.open("rb") as opened:
        done = forget(path, anna, (anna, BEN))
        assert set(opened.read()) == {0}
    assert done.wiped == (str(file),)
    assert done.left == ()
    assert not file.parent.exists()


def test_a_gallery_cannot_make_forgetting_destroy_other_files(path, tmp_path):
    """What is not by its name and hash the picture that was kept stays, and is told."""
    precious = tmp_path / "precious"
    precious.write_bytes(b"do not touch")
    swapped = keep(tmp_path / "kept", ANNA, b"a picture")
    swapped.write_bytes(b"another")
    link = swapped.with_name("link.jpg")
    link.symlink_to(precious)
    anna = msgspec.structs.replace(ANNA, kept=tuple(map(str, (precious, swapped, link))))
    done = forget(path, anna, (anna, BEN))
    assert precious.read_bytes() == b"do not touch"
    assert swapped.read_bytes() == b"another"
    assert done.wiped == ()
    assert [one.partition(":")[0] for one in done.left] == [str(precious), str(swapped)]


def test_whose_consent_has_expired():
    """The day after the last."""
    old = person("Old", vector(2), until=TODAY)
    gallery_of = made(ANNA, old)
    assert gallery_forget.expired(gallery_of, TODAY) == []
    assert gallery_forget.expired(gallery_of, TODAY + dt.timedelta(days=1)) == [old]
