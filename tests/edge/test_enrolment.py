"""`vedette enrol` and `vedette forget`, from folders of pictures to files and words."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import FakeClock, FakeSource, window
from gallery_people import MODEL, made, open_eye, person, picture, put, see, vector

import vedette
from contract import gallery
from edge import enrolment, gallery_file, gallery_pictures
from edge.errors import SourceError
from edge.gallery_pictures import Taken

LATER = "2999-12-31"
SHIPPED = Path(__file__).resolve().parents[2] / "bundles" / "machine_condition"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Three people's pictures, and an empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    for who, name in enumerate(("anna", "ben", "carl")):
        for shot in range(3):
            put(tmp_path / name / f"{shot}.png", picture(who, shot))
    return tmp_path


def enrol(*arguments):
    return enrolment.main("enrol", list(arguments), open_eye)


def forget(*arguments):
    return enrolment.main("forget", list(arguments))


def told(capsys):
    return json.loads(capsys.readouterr().out)


def read(place, key=None):
    return gallery_file.read(place / "faces.gallery", key)


def test_somebody_is_enrolled_listed_and_forgotten(place, capsys):
    """The whole life of a gallery, in words."""
    assert enrol("Anna", "--images", "anna", "--by", "Ann", "--why", "door", "--until", LATER) == 0
    said = capsys.readouterr().out
    assert said == (
        "ok   0.png (quality 1.00)\nok   1.png (quality 1.00)\nok   2.png (quality 1.00)\n"
        "Anna: 3 pictures, 0 negatives, in faces.gallery, version 2\n"
    )
    assert enrol("Ben", "--images", "ben/1.png") == 0
    assert "warn one picture only" in capsys.readouterr().out
    assert enrol("--list") == 0
    said = capsys.readouterr().out
    assert f"faces.gallery: version 3, model {MODEL}, not signed, 2 enrolled, 0 erased" in said
    assert f"Anna: 3 pictures, 0 negatives; by Ann, door, since {_today()}, until {LATER}" in said
    assert f"Ben: 1 picture, 0 negatives; by Ben, no reason given, since {_today()}, until" in said
    assert forget("anna") == 0
    said = capsys.readouterr().out
    assert "1 erased from faces.gallery, now version 4" in said
    assert "nothing of theirs is left in any of them" in said
    assert [one.name for one in read(place).persons] == ["Ben"]
    assert enrol("--list") == 0
    assert f"\n  erased {_today()}" in capsys.readouterr().out
    assert "Anna" not in (place / "faces.gallery").read_text()


def test_the_same_for_programs(place, capsys):
    """One object each."""
    assert enrol("Anna", "--images", "anna", "--json") == 0
    said = told(capsys)
    assert (said["name"], said["is_changed"], said["version"]) == ("Anna", True, 2)
    assert said["pictures"][0] == {"file": "0.png", "is_taken": True, "quality": 1.0, "said": []}
    assert said["told"] == ["the consent register has no reason; --why TEXT"]
    assert enrol("--list", "--json") == 0
    (anna,) = told(capsys)["people"]
    assert (anna["quality"], anna["until"], anna["is_expired"]) == ([1.0] * 3, None, False)
    assert forget("Anna", "--json") == 0
    said = told(capsys)
    assert (said["people"], said["embeddings"], said["left"]) == (1, 3, [])
    assert [one.rpartition("/")[2] for one in said["checked"]] == [
        "faces.gallery",
        "faces.gallery.lock",
    ]
    assert forget("--expired", "--json") == 0
    assert told(capsys) == {"people": 0}


def test_nobody_is_enrolled_from_pictures_of_others(place, capsys):
    """Two people under one name, one under two; the gallery stays as it was."""
    put(place / "both" / "a.png", picture(0))
    put(place / "both" / "b.png", picture(1))
    assert enrol("Both", "--images", "both") == 1
    assert "FAIL two people under one name" in capsys.readouterr().out
    assert not (place / "faces.gallery").exists()
    assert enrol("Anna", "--images", "anna/0.png") == 0
    assert enrol("Ann", "--images", "anna/1.png") == 1
    assert "FAIL one person under two names: Ann looks like Anna" in capsys.readouterr().out
    assert enrol("Ann", "--images", "anna/1.png", "--force") == 0
    assert read(place).version == 3


def test_what_is_wrong_with_each_picture_is_told(place, capsys):
    """And the others are taken."""
    mixed = place / "mixed"
    put(mixed / "1 good.jpg", picture(0))
    put(mixed / "1 good.png", picture(0))
    put(mixed / "2 empty.png", picture(0, faces=0))
    put(mixed / "3 many.png", picture(0, faces=3))
    put(mixed / "4 same.bmp", picture(0))
    (mixed / "5 damaged.png").write_bytes(b"\x89PNG and no more")
    (mixed / "notes.txt").write_text("no picture")
    (mixed / "1 good.jpg").unlink()
    assert enrol("Anna", "--images", "mixed") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == [
        "ok   1 good.png (quality 1.00)",
        "NO   2 empty.png: no face in it; show the whole face, from the front, well lit",
        "NO   3 many.png: 3 faces in it; cut out the one that is meant",
        "NO   4 same.bmp: the same picture as 1 good.png; one of another moment",
        "NO   5 damaged.png: no picture can be read from it; save it as JPEG or PNG",
    ]


def test_not_this_person(place, capsys):
    """At once, and only for that person."""
    assert enrol("Anna", "--images", "anna") == 0
    put(place / "sister.png", picture(0, like=1, much=40))
    capsys.readouterr()
    assert enrol("--not", "Anna", "--images", "sister.png") == 0
    assert capsys.readouterr().out == (
        "ok   sister.png (quality 1.00)\n"
        "Anna: 3 pictures, 1 negative, in faces.gallery, version 3\n"
    )
    (anna,) = read(place).persons
    assert len(anna.negatives) == 1
    assert enrol("--not", "Anna", "--images", "anna") == 1
    assert enrol("--not", "Zoe", "--images", "anna") == 78
    assert "nobody is enrolled as 'Zoe'" in capsys.readouterr().err


def test_a_consent_is_renewed_without_pictures(place, capsys):
    """What is not said stays; the day is today's."""
    old = person("Anna", vector(0), until=dt.date(2026, 1, 2))
    gallery_file.write(place / "faces.gallery", made(old), None)
    assert enrol("--list") == 0
    assert "Anna: EXPIRED, matched no more" in capsys.readouterr().out
    assert enrol("Anna", "--images", "anna/1.png") == 0
    assert "warn consent ended on 2026-01-02" in capsys.readouterr().out
    assert enrol("Anna", "--until", LATER) == 0
    (anna,) = read(place).persons
    assert anna.consent == gallery.Consent("Anna", "test", _today(), dt.date(2999, 12, 31))
    assert len(anna.pictures) == 2
    assert enrol("Anna", "--until", "2020-01-01") == 78
    assert "--until 2020-01-01: has passed; fix" in capsys.readouterr().err


def test_whoever_has_expired_is_forgotten_together(place, capsys):
    """The others stay."""
    old = [person(name, vector(i), until=dt.date(2026, 1, 2)) for i, name in enumerate("AB")]
    gallery_file.write(place / "faces.gallery", made(*old, person("C", vector(3))), None)
    assert forget("--expired") == 0
    assert "2 erased" in capsys.readouterr().out
    assert [one.name for one in read(place).persons] == ["C"]


def test_kept_pictures_are_copies_and_go_with_the_person(place, capsys):
    """Only those that were taken, readable by nobody else."""
    put(place / "anna" / "9 empty.png", picture(0, faces=0))
    assert enrol("Anna", "--images", "anna", "--keep-pictures", "kept") == 0
    (anna,) = read(place).persons
    kept = sorted((place / "kept" / anna.id).iterdir())
    assert sorted(map(str, kept)) == sorted(anna.kept)
    assert {one.read_bytes() for one in kept} == {
        (place / "anna" / f"{i}.png").read_bytes() for i in range(3)
    }
    assert {one.stat().st_mode & 0o777 for one in kept} == {0o600}
    assert forget("Anna") == 0
    assert "3 kept pictures" in capsys.readouterr().out
    assert not (place / "kept" / anna.id).exists()


def test_pictures_that_cannot_be_kept_are_told(place, capsys):
    """Before anybody is enrolled, or after, but then they are noted."""
    (place / "file").touch()
    assert enrol("Anna", "--images", "anna", "--keep-pictures", "file") == 78
    assert "--keep-pictures file: " in capsys.readouterr().err
    assert not (place / "faces.gallery").exists()
    blocked = {place / "kept" / "a.png": b"", place / "none" / "b.png": b"x"}
    (place / "kept").mkdir()
    with pytest.raises(
        enrolment.ConfigError, match=r"b\.png: enrolled, but not kept: No such file"
    ):
        enrolment.keep(blocked)


def test_what_is_left_is_an_error(place, capsys):
    """A copy somebody made."""
    assert enrol("Anna", "--images", "anna") == 0
    (place / "faces.gallery.bak").write_bytes((place / "faces.gallery").read_bytes())
    assert forget("Anna") == 1
    assert "LEFT faces.gallery.bak: an embedding, as text" in capsys.readouterr().out


def test_a_key_signs(place, capsys):
    """Then nothing goes without it."""
    key = place / "site.key"
    key.write_text("0123456789abcdef")
    key.chmod(0o600)
    assert enrol("Anna", "--images", "anna", "--key", "site.key") == 0
    assert read(place, b"0123456789abcdef").key_id
    capsys.readouterr()
    for verb in (lambda: enrol("Ben", "--images", "ben"), lambda: forget("Anna")):
        assert verb() == 78
        assert "no key is given; fix: give the site's key file" in capsys.readouterr().err
    assert forget("Anna", "--key", "site.key") == 0


CONFIG = """
[device]
name = "d1"
state_dir = "state"
[mqtt]
host = "localhost"
[[pipeline]]
name = "door"
bundle = "bundles/faces"
gallery = "own.gallery"
gallery_key = "site.key"
[pipeline.source]
type = "replay"
path = "sound.npz"
window_s = 1.0
hop_s = 1.0
[[pipeline]]
name = "pump"
bundle = "bundles/machine_condition"
[pipeline.source]
type = "simulate"
"""


def test_a_config_names_gallery_bundle_and_key(place, capsys):
    """Relative to its own folder; the options have the last word."""
    folder = place / "etc"
    folder.mkdir()
    (folder / "edge.toml").write_text(CONFIG)
    (folder / "site.key").write_text("0123456789abcdef")
    (folder / "site.key").chmod(0o600)
    opened = []

    def remembering(path, engine):
        opened.append(path)
        return open_eye(path, engine)

    options = ["--images", "anna", "--config", "etc/edge.toml"]
    assert enrolment.main("enrol", ["Anna", *options], remembering) == 0
    assert (
        enrolment.main("enrol", ["Anna", *options, "--bundle", "b", "--gallery", "g"], remembering)
        == 0
    )
    assert [str(one) for one in opened] == ["etc/bundles/faces", "b"]
    assert gallery_file.read(folder / "own.gallery", b"0123456789abcdef").persons
    assert (place / "g").exists()
    state = folder / "state"
    state.mkdir()
    (state / "door.raw").write_bytes(vector(0).astype("<f4").tobytes())
    assert forget("Anna", "--config", "etc/edge.toml") == 1
    assert "LEFT etc/state/door.raw: an embedding, byte by byte" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "options", "why"),
    [
        (("", ""), ["--pipeline", "gate"], "--pipeline gate: not in the config; fix: door, pump"),
        (('gallery = "own.gallery"\n', ""), [], "0 pipelines have a gallery; fix: --pipeline"),
        (("", ""), ["--camera"], "sound.npz"),
        (("site.key", "none.key"), [], "pipeline.gallery_key = 'none.key': No such file"),
    ],
)
def test_a_config_that_does_not_fit_is_told(place, capsys, change, options, why):
    """With what there is."""
    (place / "edge.toml").write_text(CONFIG.replace(*change))
    (place / "site.key").write_text("0123456789abcdef")
    (place / "site.key").chmod(0o600)
    images = [] if "--camera" in options else ["--images", "anna"]
    code = 1 if "--camera" in options else 78
    assert enrol("Anna", *images, "--config", "edge.toml", *options) == code
    assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["enrol"],
        ["enrol", "Anna"],
        ["enrol", "Anna", "--not", "Ben", "--images", "x"],
        ["enrol", "--not", "Ben", "--until", LATER],
        ["enrol", "Anna", "--list"],
        ["enrol", "--not", "Ben", "--images", "x", "--keep-pictures", "y"],
        ["enrol", "Anna", "--images", "x", "--until", "tomorrow"],
        ["forget"],
        ["forget", "Anna", "--expired"],
    ],
)
def test_wrong_usage(arguments, capsys):
    """Told by the one command."""
    with pytest.raises(SystemExit) as stopped:
        vedette.main(arguments)
    assert stopped.value.code == 2
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["Anna", "--images", "nowhere"], 78, "--images nowhere: No such file or directory; fix"),
        (["Anna", "--images", "empty"], 78, "--images empty: no picture in it; fix: files ending"),
        (["Anna", "--images", "anna", "--gallery", "anna"], 78, "anna: Is a directory; fix"),
        (["  ", "--images", "anna"], 1, "'  ' is no name; fix"),
        (["Anna", "--camera"], 78, "--camera: which one?; fix: --config FILE"),
        (["--list"], 78, "faces.gallery: No such file or directory; fix"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(place, capsys, arguments, code, why):
    """With the fix."""
    (place / "empty").mkdir()
    assert enrol(*arguments) == code
    err = capsys.readouterr().err
    assert why in err
    assert err.count("\n") == 1


def test_a_bundle_that_enrols_nobody_is_refused(place, capsys):
    """The one for vibration."""
    arguments = ["Anna", "--images", "anna", "--bundle", str(SHIPPED)]
    assert enrolment.main("enrol", arguments) == 78
    assert "machine_condition enrols nobody; fix: one of faces" in capsys.readouterr().err


def frames(*pictures):
    return [window(one, seq=i, rate_hz=10.0) for i, one in enumerate(pictures)]


def test_a_camera_is_looked_at_until_five_good_pictures_differ():
    """Each told at once; the same one again does not count."""
    clock = FakeClock()
    kinds = [picture(0, 0), picture(0, 0), picture(0, faces=0)]
    kinds += [picture(0, shot) for shot in range(1, 9)]

    def ticking():
        clock.advance(1.0)
        return clock.mono / 1e9

    source = FakeSource(frames(*kinds))
    seen = []
    taken = gallery_pictures.of_camera(source, clock_s=ticking)
    good = enrolment.enough(enrolment.show(taken, see), seen.append)
    assert [one.taken.name for one in good] == [f"picture {i}" for i in (1, 4, 5, 6, 7)]
    assert [one.is_taken for one in seen] == [True, False, False, True, True, True, True]


def test_a_camera_is_not_looked_at_for_ever():
    """A minute, one picture in 0.7 s."""
    clock = FakeClock()

    def ticking():
        clock.advance(0.5)
        return clock.mono / 1e9

    source = FakeSource(frames(*[picture(0, faces=0)] * 500))
    taken = list(gallery_pictures.of_camera(source, clock_s=ticking))
    assert 55 <= len(taken) <= 61
    assert source.is_closed
    bad = list(enrolment.show(taken, see))
    assert len(enrolment.enough(bad, lambda _one: None)) == 5


def test_a_source_without_pictures_is_told():
    """A microphone enrols nobody."""
    source = FakeSource([window(np.zeros((10, 1), np.float32))])
    with pytest.raises(SourceError, match="gives no pictures; fix: --pipeline"):
        list(gallery_pictures.of_camera(source))
    assert source.is_closed


def test_pictures_of_every_kind_are_read(tmp_path):
    """Grey, 16 bit, with transparency, turned by EXIF, and very large."""
    rgb = np.zeros((40, 60, 3), np.uint8)
    rgb[:, :20] = 255, 0, 0
    put(tmp_path / "a.png", rgb)
    cv2.imwrite(str(tmp_path / "b.png"), rgb[:, :, 0])
    cv2.imwrite(str(tmp_path / "c.png"), np.full((40, 60, 3), 40_000, np.uint16))
    cv2.imwrite(str(tmp_path / "d.png"), np.full((40, 60, 4), 200, np.uint8))
    cv2.imwrite(str(tmp_path / "e.jpg"), np.full((3000, 6000, 3), 100, np.uint8))
    _, plain = cv2.imencode(".jpg", rgb[:, :, ::-1])
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "f.jpg").write_bytes(plain.tobytes()[:2] + segment + plain.tobytes()[2:])
    read = {one.name: one.data for one in gallery_pictures.in_folder(tmp_path)}
    assert all(one.dtype == np.uint8 for one in read.values())
    assert (read["a.png"] == rgb).all()
    assert read["b.png"].shape == (40, 60, 3)
    assert abs(int(read["c.png"][0, 0, 0]) - 156) <= 1
    assert read["d.png"].shape == (40, 60, 3)
    assert read["e.jpg"].shape == (1280, 2560, 3)
    assert read["f.jpg"].shape == (60, 40, 3)  # turned: red is now above
    assert read["f.jpg"][5, 20, 0] > 200
    assert read["f.jpg"][55, 20, 0] < 50


def test_an_album_is_not_a_person(tmp_path, monkeypatch):
    """Before any of it is read."""
    monkeypatch.setattr(gallery_pictures, "MOST_FILES", 2)
    for i in range(3):
        (tmp_path / f"{i}.jpg").touch()
    with pytest.raises(enrolment.ConfigError, match="3 pictures; fix: a folder with 1 to 5"):
        list(gallery_pictures.in_folder(tmp_path))


def test_a_picture_of_a_camera_is_kept_as_png():
    """Without loss."""
    data = picture(3)
    raw, ending = gallery_pictures.as_file(Taken("picture 1", data))
    assert ending == ".png"
    assert (cv2.imdecode(np.frombuffer(raw, np.uint8), 1)[:, :, ::-1] == data).all()


def _today():
    return dt.datetime.now(dt.UTC).date()


def test_a_name_is_no_path(place):
    """Kept pictures lie below the folder that was named, whatever the name says."""
    name = "../../outside/anna"
    before = set(place.parent.rglob("*"))
    assert enrol(name, "--images", "anna", "--keep-pictures", "kept") == 0
    new = set(place.parent.rglob("*")) - before
    assert {path for path in new if path.suffix == ".png"}
    assert all(path.is_relative_to(place) for path in new)
    assert read(place).find(name) is not None
    assert forget(name) == 0
    assert not [path for path in new if path.suffix == ".png" and path.exists()]


def test_a_bad_name_is_told_before_anything_is_opened(place, capsys):
    """Neither pictures nor bundle, which may take a minute."""
    arguments = ["a" * 65, "--images", "anna"]
    assert enrolment.main("enrol", arguments, lambda *_: pytest.fail("opened")) == 1
    assert "is no name; fix: 1 to 64 letters" in capsys.readouterr().err
