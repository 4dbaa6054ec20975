"""Another bundle serves once it has proved itself; whatever happens, one that has goes on."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import tiny_bundle
from tamper import MODEL, flip

import vedette
from contract.manifest import MANIFEST
from edge import activate, bundle_files
from edge.bundle import Bundle
from edge.errors import BundleError, ConfigError
from edge.proof import Proof

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
[device]
name = "d1"

[[pipeline]]
name = "a"
bundle = "mc"

[pipeline.source]
type = "simulate"
hop_s = {hop_s}
"""
ANOTHER = """
[[pipeline]]
name = "{name}"
bundle = "{bundle}"

[pipeline.source]
type = "simulate"
"""


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Bundles that multiply by 0.5, 0.25 and 0.125."""
    folder = tmp_path_factory.mktemp("three")
    return [tiny_bundle(folder / str(i), gain=0.5**i) for i in (1, 2, 3)]


@pytest.fixture
def place(three, tmp_path):
    """The first of them as a plain directory, as `cp -r` puts it."""
    return shutil.copytree(three[0], tmp_path / "mc")


def ids(*bundles) -> list[str]:
    return [Bundle.open(one, "onnx").model_id for one in bundles]


def prove(bundle: Path) -> Proof:
    """What the other process does, in this one."""
    opened = Bundle.open(bundle, "onnx")
    return Proof(opened.model_id, opened.window_s)


def previous(place: Path) -> Path:
    return activate.previous_of(place)


def test_a_plain_directory_becomes_a_link_and_the_previous_one(three, place):
    """The new one is a copy: what it came from may go."""
    new = shutil.copytree(three[1], place.parent / "new")
    active = activate.activate(new, place, prove)
    shutil.rmtree(new)
    assert [active.model_id, active.previous_model_id] == ids(three[1], three[0])
    assert active.is_changed
    assert ids(place, previous(place)) == ids(three[1], three[0])
    assert place.is_symlink()


def test_the_second_activation_forgets_the_first_bundle(three, place):
    """Two are kept, however often; nothing else is left beside them."""
    for new in (three[1], three[2], three[1], three[2]):
        activate.activate(new, place, prove)
    assert ids(place, previous(place)) == ids(three[2], three[1])
    assert len(list((place.parent / "mc.versions").iterdir())) == 2
    assert sorted(one.name for one in place.parent.iterdir()) == [
        "mc",
        "mc.previous",
        "mc.versions",
    ]


def test_a_link_made_by_hand_is_kept_as_the_previous_one(three, tmp_path):
    """Only what was copied here is ever removed."""
    place = tmp_path / "mc"
    place.symlink_to(three[0])
    activate.activate(three[1], place, prove)
    assert ids(place, previous(place)) == ids(three[1], three[0])
    activate.activate(three[2], place, prove)
    assert ids(three[0])


def test_into_an_empty_place(three, tmp_path):
    """The first bundle of a device."""
    active = activate.activate(three[0], tmp_path / "mc", prove)
    assert active.previous_model_id is None
    assert ids(tmp_path / "mc") == ids(three[0])
    with pytest.raises(ConfigError, match="no bundle to go back to"):
        activate.back(tmp_path / "mc", prove)


def test_a_bundle_that_already_serves_is_left_alone(three, place):
    """Otherwise the one before it would be lost."""
    activate.activate(three[1], place, prove)
    active = activate.activate(three[1], place, prove)
    assert not active.is_changed
    assert ids(place, previous(place)) == ids(three[1], three[0])


def test_a_refused_bundle_changes_nothing(three, place):
    """Neither one whose files do not fit, nor one whose model does not."""
    activate.activate(three[1], place, prove)
    bad = shutil.copytree(three[2], place.parent / "bad")

    def refuse(bundle: Path) -> Proof:
        if bundle.name == ".new":
            raise BundleError(f"{bundle}: no good")
        return prove(bundle)

    with pytest.raises(BundleError, match=f"^{bad}: no good$"):
        activate.activate(bad, place, refuse)
    flip(bad / MODEL)
    with pytest.raises(BundleError, match="SHA-256"):
        activate.activate(bad, place, prove)
    assert ids(place, previous(place)) == ids(three[1], three[0])
    assert len(list((place.parent / "mc.versions").iterdir())) == 2


def test_a_bundle_that_does_not_prove_itself_is_never_the_previous_one(three, place):
    """Such as one that the card has damaged: the one before it stays in reserve."""
    activate.activate(three[1], place, prove)
    flip(place.resolve() / MODEL)
    active = activate.activate(three[2], place, prove)
    assert active.previous_model_id is None
    assert ids(place, previous(place)) == ids(three[2], three[0])


def test_a_damaged_plain_directory_is_put_aside_and_not_removed(three, place):
    """A person may want to see it."""
    flip(place / MODEL)
    damaged = (place / MODEL).read_bytes()
    activate.activate(three[1], place, prove)
    assert ids(place) == ids(three[1])
    assert not previous(place).is_symlink()
    aside = [one / MODEL for one in (place.parent / "mc.versions").iterdir()]
    assert damaged in [one.read_bytes() for one in aside]


def test_back_and_back_again(three, place):
    """The two change places."""
    activate.activate(three[1], place, prove)
    active = activate.back(place, prove)
    assert [active.model_id, active.previous_model_id] == ids(three[0], three[1])
    assert ids(place, previous(place)) == ids(three[0], three[1])
    activate.back(place, prove)
    assert ids(place, previous(place)) == ids(three[1], three[0])


def test_back_to_a_refused_bundle_changes_nothing(three, place):
    """It is damaged by now."""
    activate.activate(three[1], place, prove)
    flip(previous(place).resolve() / MODEL)
    with pytest.raises(BundleError, match="SHA-256"):
        activate.back(place, prove)
    assert ids(place) == ids(three[1])


def test_one_activation_at_a_time(three, place):
    """The second says so instead of waiting."""
    versions = place.parent / "mc.versions"
    versions.mkdir()
    held = os.open(versions, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        with pytest.raises(ConfigError, match="another activation"):
            activate.activate(three[1], place, prove)
    finally:
        os.close(held)
    activate.activate(three[1], place, prove)


def test_what_is_copied_can_be_read_by_the_service(three, place):
    """It is another user; whoever activates may have a strict umask."""
    before = os.umask(0o077)
    try:
        activate.activate(three[1], place, prove)
    finally:
        os.umask(before)
    for one in [place.parent / "mc.versions", place.resolve(), *place.resolve().iterdir()]:
        assert stat.S_IMODE(one.stat().st_mode) & 0o044 == 0o044, one


def started(three, tmp_path, *, links: bool) -> Path:
    """A device with the first bundle as a directory, or with the second after the first."""
    place = shutil.copytree(three[0], tmp_path / "mc")
    if links:
        activate.activate(three[1], place, prove)
    return place


@pytest.mark.slow
@pytest.mark.parametrize(
    ("links", "new"), [(False, 2), (True, 2), (True, None)], ids=["first", "second", "back"]
)
def test_killed_before_every_single_change_a_proven_bundle_serves(three, tmp_path, links, new):
    """Really killed; then the same command again succeeds as if nothing had been."""
    known = ids(*three)
    arguments = [] if new is None else [str(three[new])]
    goal = known[0] if new is None else known[2]
    n, is_done = 0, False
    while not is_done:
        n += 1
        folder = tmp_path / str(n)
        folder.mkdir()
        place = started(three, folder, links=links)
        was = ids(place)[0]
        program = ROOT / "tests" / "edge" / "killed_activation.py"
        done = subprocess.run(
            [sys.executable, str(program), str(n), str(place), *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
        )
        is_done = done.returncode == 0
        assert is_done or done.returncode == -signal.SIGKILL
        try:
            serving = ids(place)[0]
        except BundleError:
            serving = ids(previous(place))[0]
        assert serving in {was, goal}, n
        if new is not None:
            activate.activate(three[new], place, prove)
            assert ids(place, previous(place)) == [goal, was]
            assert not [*place.parent.glob(".*"), *place.parent.glob("mc.versions/.*")]
        elif serving == was and not is_done:
            activate.back(place, prove)
            assert ids(place, previous(place)) == [goal, was]
        shutil.rmtree(folder)
    assert n > (5 if new is None else 15)  # it was killed that often, less one


class TestOpenOrPrevious:
    """What the service calls at its start."""

    @pytest.fixture
    def place(self, three, place):
        activate.activate(three[1], place, prove)
        return place

    def test_the_current_bundle_where_it_proves_itself(self, three, place):
        bundle, refused = activate.open_or_previous(place, "onnx", hop_s=1.0)
        assert (bundle.model_id, refused) == (ids(three[1])[0], None)

    def test_the_previous_one_where_it_does_not(self, three, place, caplog):
        flip(place.resolve() / MODEL)
        bundle, refused = activate.open_or_previous(place, "onnx", hop_s=1.0)
        assert bundle.model_id == ids(three[0])[0]
        assert "SHA-256" in refused
        assert len(refused) <= 256
        assert refused in caplog.text

    def test_the_previous_one_where_the_current_is_gone(self, three, place):
        place.unlink()
        bundle, refused = activate.open_or_previous(place, "onnx", hop_s=1.0)
        assert bundle.model_id == ids(three[0])[0]
        assert "no bundle here" in refused

    def test_with_both_refused_both_reasons_are_told(self, place):
        flip(place.resolve() / MODEL)
        (previous(place).resolve() / "more").touch()
        with pytest.raises(BundleError, match=r"SHA-256.*previous one is refused too.*'more'"):
            activate.open_or_previous(place, "onnx", hop_s=1.0)

    def test_without_a_previous_one_there_is_one_reason(self, place):
        previous(place).unlink()
        (place.resolve() / MANIFEST).unlink()
        with pytest.raises(BundleError, match="no bundle here") as error:
            activate.open_or_previous(place, "onnx", hop_s=1.0)
        assert "previous one" not in str(error.value)

    def test_one_slower_than_the_hop_is_refused(self, place):
        with pytest.raises(BundleError, match="too slow for this device"):
            activate.open_or_previous(place, "onnx", hop_s=1e-6)


@pytest.fixture
def run(place, capfd):
    """`vedette activate` with a config beside the bundle; code, stdout and stderr."""

    def call(*arguments, hop_s=10.0, more=""):
        config = place.parent / "pump-1.toml"
        config.write_text(CONFIG.format(hop_s=hop_s) + more)
        code = vedette.main(["activate", *map(str, arguments), "--config", str(config)])
        return code, *capfd.readouterr()

    return call


def test_the_verb_activates_and_says_what_to_restart(three, place, run):
    """In words and in JSON."""
    code, out, _ = run(three[1], "--json")
    said = json.loads(out)
    assert code == 0
    assert [said["model_id"], said["previous_model_id"]] == ids(three[1], three[0])
    assert said["restart"] == "systemctl restart vedette-edge@pump-1"
    assert said["pipelines"] == ["a"]
    assert 0 < said["window_s"] < 5
    code, out, _ = run("--back")
    assert code == 0
    assert f"a: model {ids(three[0])[0]}, before it {ids(three[1])[0]};" in out
    assert "it serves after: systemctl restart vedette-edge@pump-1" in out
    assert "nothing has changed" in run(three[0])[1]


def test_the_verb_refuses_with_78_and_one_line(three, place, run):
    """Slower than half of the pipeline's hop, damaged, or nothing to do."""
    code, _, err = run(three[1], hop_s=1e-6)
    assert code == 78
    assert f"{three[1]}: too slow" in err
    assert "0.0005 ms are allowed" in err
    bad = shutil.copytree(three[1], place.parent / "bad")
    flip(bad / MODEL)
    for arguments, reason in [
        ([bad], "SHA-256"),
        (["--back"], "no bundle to go back to"),
        ([], "a bundle's directory, or --back"),
        ([three[1], "--back"], "a bundle's directory, or --back"),
        ([three[1], "--pipeline", "b"], "--pipeline b: no such pipeline; fix: .* one of a"),
    ]:
        code, out, err = run(*arguments)
        assert (code, out) == (78, "")
        assert len(err.splitlines()) == 1
        assert err.startswith("vedette activate: ")
        assert re.search(reason, err), err
    assert ids(place) == ids(three[0])


def test_pipelines_that_share_a_bundle_share_its_activation(three, place, run):
    """Others must be told apart."""
    shared = ANOTHER.format(name="b", bundle="./mc")
    _, out, _ = run(three[1], "--json", more=shared)
    assert json.loads(out)["pipelines"] == ["a", "b"]
    other = ANOTHER.format(name="c", bundle="other")
    code, _, err = run(three[2], more=shared + other)
    assert code == 78
    assert "several bundles; fix: --pipeline NAME, one of a, b, c" in err
    code, out, _ = run(three[2], "--pipeline", "c", "--json", more=shared + other)
    assert json.loads(out)["pipelines"] == ["c"]
    assert ids(place, place.parent / "other") == ids(three[1], three[2])


def test_a_place_that_cannot_be_written_is_a_line(three, place, run):
    """A file where a folder should be, which not even root may write into."""
    (place.parent / "mc.versions").touch()
    code, _, err = run(three[1])
    assert code == 78
    assert "mc.versions: File exists; fix: its owner, or space on its disk" in err


def test_the_files_that_are_read_are_the_ones_that_are_copied(three, tmp_path):
    """All of them, and none else."""
    activate.activate(three[0], tmp_path / "mc", prove)
    assert bundle_files.read(tmp_path / "mc").raw == bundle_files.read(three[0]).raw
    assert len(list((tmp_path / "mc").iterdir())) == 3
