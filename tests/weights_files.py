"""Published weights, fetched once into the user's own cache, whatever a test sets for itself."""

import os
from pathlib import Path

import pytest

from training import weights

# read when the tests are collected, before a fixture gives each a cache of its own
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "vedette", "weights")


def fetched(weight):
    return weights.fetch(weight, into=_CACHE)


def pictures(per_set):
    """Some pictures of every set of faces at hand, (h, w, 3) uint8 RGB; always the same ones."""
    cv2 = pytest.importorskip("cv2", reason="needs OpenCV; fix: make setup")
    data = Path(os.environ.get("VEDETTE_DATA", "data"))
    sets = [sorted(one.glob("images/*")) for one in sorted(data.glob("faces_*"))]
    files = [files[len(files) * n // per_set] for files in sets if files for n in range(per_set)]
    if not files:
        pytest.skip(f"no faces in {data}; fix: set VEDETTE_DATA to the folder with the data sets")
    return [cv2.imread(str(file), cv2.IMREAD_COLOR_RGB) for file in files]
