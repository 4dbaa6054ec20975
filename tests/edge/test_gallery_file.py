"""The gallery on disk, and a device that goes on with it."""

from __future__ import annotations

import datetime as dt
import logging
import os
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from fakes import POINT, FakeEngine, RunningSum, toy_workload
from gallery_people import MODEL, TODAY, made, person, vector

from contract import gallery
from contract.impostors import Tail
from contract.spec import Detection, OperatingPoint
from edge import gallery_file
from edge.bundle import Bundle
from edge.config import PipelineConfig
from edge.errors import ConfigError
from edge.gallery_file import Enrolled
from edge.pipeline import Pipeline
from edge.profile import ProfileMemory
from edge.serving import Serving
from edge.sources import simulate

SHIPPED = Path(__file__).resolve().parents[2] / "bundles" / "machine_condition"
KEY = b"k" * 16
ANNA, BEN = person("Anna", vector(0)), person("Ben", vector(1))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "door" / "faces.gallery"


def write(path, *people, key=None, after=None):
    """A gallery of these, newer than `after`."""
    path.parent.mkdir(exist_ok=True)
    found = made(*people)
    if after is not None:
        found = msgspec.structs.replace(found, id=after.id, version=after.version + 1)
    gallery_file.write(path, found, key)
    return gallery_file.read(path, key)


def test_what_was_written_is_read_by_its_owner_only(path):
    """And by nobody without the key."""
    before = write(path, ANNA, key=KEY)
    assert before.persons == (ANNA,)
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(one.name for one in path.parent.iterdir()) == ["faces.gallery"]
    with pytest.raises(ConfigError, match=r"faces\.gallery: signed with key \w+, and no key"):
        gallery_file.read(path, None)


def test_the_version_before_stays_and_the_one_before_that_is_wiped(path):
    """Seen through a file that was open all the time."""
    write(path, ANNA)
    with path.open("rb") as first:
        write(path, BEN)
        previous = path.with_name("faces.gallery.previous")
        assert gallery_file.read(previous, None).persons == (ANNA,)
        assert first.read() == previous.read_bytes()
        write(path, ANNA, BEN)
        first.seek(0)
        assert set(first.read()) == {0}
    assert gallery_file.read(previous, None).persons == (BEN,)
    assert previous.stat().st_mode & 0o777 == 0o600
    assert gallery_file.family(path) == [path, previous]


def test_without_the_version_before_nothing_is_left_of_it(path):
    """As after forgetting."""
    write(path, ANNA)
    with path.open("rb") as first:
        gallery_file.write(path, made(BEN), None, keeps_previous=False)
        assert set(first.read()) == {0}
    assert gallery_file.family(path) == [path]


def test_what_a_power_cut_left_is_wiped_but_not_what_is_in_use_by_another_name(path):
    """Cut after the link to the version before, or while the old one was being wiped."""
    write(path, ANNA)
    path.with_name("faces.gallery.tmp").write_bytes(b"half a gallery")
    os.link(path, path.with_name("faces.gallery.wiping"))
    write(path, BEN)
    assert gallery_file.read(path.with_name("faces.gallery.previous"), None).persons == (ANNA,)
    assert len(gallery_file.family(path)) == 2


def test_a_folder_that_takes_nothing_leaves_the_gallery_as_it_was(path):
    """In words."""
    write(path, ANNA)
    blocking = path.with_name("faces.gallery.tmp")
    blocking.mkdir()
    with pytest.raises(ConfigError, match=r"faces\.gallery: cannot be written: Is a directory"):
        gallery_file.write(path, made(BEN), None)
    assert gallery_file.read(path, None).persons == (ANNA,)


def test_a_damaged_gallery_is_named_with_the_way_back(path):
    """The copy beside it, where there is one."""
    write(path, ANNA)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ConfigError, match=r"gallery: .*; fix: a copy of it, or enrol anew"):
        gallery_file.read(path, None)
    path.with_name("faces.gallery.previous").write_bytes(raw)
    with pytest.raises(ConfigError, match=r"; fix: cp .*faces\.gallery\.previous .*faces\.gallery"):
        gallery_file.read(path, None)


def test_what_cannot_be_opened_or_is_far_too_large_is_told(path, monkeypatch):
    """Before it is read."""
    with pytest.raises(ConfigError, match="No such file or directory; fix"):
        gallery_file.read(path, None)
    write(path, ANNA)
    monkeypatch.setattr(gallery, "MAX_BYTES", 100)
    with pytest.raises(ConfigError, match="more than 100 bytes; fix"):
        gallery_file.read(path, None)
    with pytest.raises(ConfigError, match=r"would be .* bytes, at most 100"):
        gallery_file.write(path, made(ANNA), None)


def test_embeddings_of_another_model_are_refused(path):
    """Bound to the model."""
    write(path, ANNA)
    assert gallery_file.read(path, None, model_id=MODEL)
    with pytest.raises(ConfigError, match=f"model {MODEL}, now ffff: .*; fix: the bundle it was"):
        gallery_file.read(path, None, model_id="ffff")


def test_a_key_is_a_secret(tmp_path, monkeypatch):
    """Of some length, read by its owner only, from the file's folder or from systemd."""
    file = tmp_path / "site.key"
    file.write_text("0123456789abcdef\n")
    file.chmod(0o600)
    assert gallery_file.read_key("site.key", base=tmp_path) == b"0123456789abcdef"
    assert gallery_file.read_key(str(file)) == b"0123456789abcdef"
    assert gallery_file.read_key(None) is None
    file.chmod(0o640)
    with pytest.raises(ConfigError, match=r"--key = 'site\.key': others may use this secret"):
        gallery_file.read_key("site.key", base=tmp_path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert gallery_file.read_key("site.key")
    file.write_text("short")
    with pytest.raises(ConfigError, match="5 characters, at least 16 make a key; fix: openssl"):
        gallery_file.read_key("site.key", key="--key")


class Days:
    """Time that moves when told to."""

    def __init__(self):
        self.now_s, self.day = 0.0, TODAY

    def enrolled(self, path, point=POINT, *, per_1000=1.0, key=None):
        return Enrolled(
            path,
            key,
            model_id=MODEL,
            operating_point=point,
            false_accepts_per_1000=per_1000,
            clock_s=lambda: self.now_s,
            today=lambda: self.day,
        )


def names(arrays):
    return arrays["names"].tolist() if arrays else []


def test_a_newer_gallery_is_taken_up_within_a_second(path):
    """And nothing is looked at in between."""
    time = Days()
    first = write(path, ANNA)
    watched = time.enrolled(path)
    assert names(watched.arrays) == ["Anna"]
    write(path, ANNA, BEN, after=first)
    time.now_s = 0.99
    assert watched.newer() is None
    time.now_s = 1.0
    assert names(watched.newer()) == ["Anna", "Ben"]
    assert watched.version == 3
    time.now_s = 2.0
    assert watched.newer() is None


def test_nobody_is_enrolled_before_there_is_a_file_and_after_it_is_gone(path):
    """Both without a restart."""
    time = Days()
    watched = time.enrolled(path)
    assert watched.arrays == {}
    write(path, ANNA)
    time.now_s = 1.0
    assert names(watched.newer()) == ["Anna"]
    path.unlink()
    time.now_s = 2.0
    assert watched.newer() == {}
    assert watched.version == 0


def test_a_gallery_that_is_refused_changes_nothing_and_is_told_once(path, caplog):
    """Damaged, of another model, older, without the signature."""
    time = Days()
    first = write(path, ANNA, key=KEY)
    watched = time.enrolled(path, key=KEY)
    older = msgspec.structs.replace(first, version=first.version - 1, persons=(BEN,))
    refused = [
        gallery.encode(first, KEY)[:-10],
        gallery.encode(msgspec.structs.replace(first, model_id="ffff"), KEY),
        gallery.encode(older, KEY),
        gallery.encode(msgspec.structs.replace(first, persons=(BEN,), version=9), None),
    ]
    for raw, why in zip(refused, ["damaged", "model ffff", "older than 2", "signed"], strict=True):
        path.write_bytes(raw)
        caplog.clear()
        for _ in range(2):
            time.now_s += 1.0
            assert watched.newer() is None
        (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
        assert why in record.message
        assert watched.version == 2
    write(path, BEN, key=KEY, after=first)
    time.now_s += 1.0
    assert names(watched.newer()) == ["Ben"]


def test_at_the_start_a_refused_gallery_is_an_error(path):
    """A person must act."""
    path.parent.mkdir()
    path.write_bytes(b"{}")
    with pytest.raises(ConfigError, match="no gallery, or damaged"):
        Days().enrolled(path)


def test_a_consent_ends_at_midnight_without_a_new_file(path):
    """The last day counts."""
    time = Days()
    write(path, person("Anna", vector(0), until=TODAY), BEN)
    watched = time.enrolled(path)
    assert names(watched.arrays) == ["Anna", "Ben"]
    time.now_s, time.day = 1.0, TODAY + dt.timedelta(days=1)
    assert names(watched.newer()) == ["Ben"]


def test_the_threshold_follows_from_the_promise_and_how_many_are_enrolled(path, caplog):
    """From the tail that came with the model; without one, the model's own."""
    time = Days()
    write(path, ANNA, BEN)
    assert float(time.enrolled(path).arrays["threshold"]) == POINT.threshold
    tail = Tail(1_000_000, ((0.5, 100_000), (0.7, 1_000)))
    point = OperatingPoint(0.6, 0.5, "nothing", tail.measured(), {"margin": 0.02})
    both = time.enrolled(path, point, per_1000=10.0).arrays
    assert float(both["margin"]) == 0.02
    assert not [one for one in caplog.records if one.levelno == logging.WARNING]
    write(path, ANNA)
    alone = time.enrolled(path, point, per_1000=10.0).arrays
    assert 0.5 < float(alone["threshold"]) < float(both["threshold"]) < 0.7
    time.enrolled(path, point, per_1000=0.1)
    assert "beyond what was measured" in caplog.text
    with pytest.raises(ConfigError, match=r"false_accepts_per_1000 = 1e-09 with 1 enrolled"):
        time.enrolled(path, point, per_1000=1e-9)


def test_a_promise_that_can_be_kept_no_more_leaves_things_as_they_are(path, caplog):
    """One too many is enrolled while it runs."""
    time = Days()
    tail = Tail(1_000_000, ((0.5, 100_000), (0.9, 50_000)))
    point = OperatingPoint(0.6, 0.5, "nothing", tail.measured())
    first = write(path, ANNA)
    watched = time.enrolled(path, point, per_1000=45.0)
    write(path, ANNA, BEN, after=first)
    time.now_s = 1.0
    assert watched.newer() is None
    assert "with 2 enrolled: no cosine" in caplog.text
    assert watched.version == first.version


def test_a_pipeline_judges_by_the_newer_gallery_and_its_follower_goes_on(path, tmp_path):
    """Through the profile, with what was followed so far; embeddings are in no other file."""
    time = Days()

    def judge(found, profile):
        return (Detection("n", score=float(len(profile.learned.get("names", ())))),)

    workload = replace(toy_workload(learns=False), judge=judge, follow=RunningSum)
    memory = ProfileMemory(
        workload,
        MODEL,
        POINT,
        learn_windows=0,
        path=tmp_path / "p.profile.npz",
        enrolled=time.enrolled(path),
    )
    pipeline = Pipeline(workload, {"second": FakeEngine()}, memory)
    found = (Detection("face", vector=np.ones(1, np.float32)),)
    assert pipeline.take(found, 0)[0].score == 0.0
    write(path, ANNA, BEN)
    assert pipeline.take(found, 1)[0].score == 0.0
    time.now_s = 1.0
    assert pipeline.take(found, 2)[0].score == 2.0
    assert pipeline.take(found, 3)[0].score == 4.0
    memory.save()
    assert not (tmp_path / "p.profile.npz").exists()


def test_a_pipeline_that_learns_has_no_gallery(tmp_path):
    """Rather than one that nobody looks at."""
    config = PipelineConfig("p", str(SHIPPED), simulate.Config(), gallery="faces.gallery")
    with pytest.raises(
        ConfigError, match=r"'faces\.gallery': machine_condition learns, and enrols"
    ):
        Serving(config, Bundle.open(SHIPPED), None, state_dir=tmp_path, base=tmp_path)


def test_a_pipeline_serves_with_its_gallery(path, tmp_path):
    """Relative to the config's own folder, with its key; refused at once without."""
    opened = Bundle.open(SHIPPED)
    enrols = replace(opened.workload, learn=None, learn_windows=0, follow=None)
    bundle = replace(opened, workload=enrols, model_id=MODEL)
    key = tmp_path / "site.key"
    key.write_bytes(KEY)
    key.chmod(0o600)
    write(path, ANNA, key=KEY)

    def serve(**options):
        source = simulate.Config()
        config = PipelineConfig("p", str(SHIPPED), source, gallery="door/faces.gallery", **options)
        return Serving(config, bundle, None, state_dir=tmp_path, base=tmp_path)

    memory = serve(gallery_key="site.key").pipeline.memory
    assert memory.profile.learned["names"].tolist() == ["Anna"]
    with pytest.raises(ConfigError, match="and no key is given; fix"):
        serve()
