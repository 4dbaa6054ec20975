"""What a workload makes of a recording does not move unless its revision does."""

from __future__ import annotations

import numpy as np
import pytest
from golden.record import golden_file, play

from contract import workloads

LEARNING = [name for name in workloads.names() if workloads.load(name).learn is not None]


@pytest.mark.parametrize("name", LEARNING)
def test_a_recording_gives_the_scores_it_gave(name: str):
    """Outputs that are meant to move: raise `revision`, then `python tests/golden/record.py`."""
    file = golden_file(name)
    assert file.is_file(), f"no recording for this revision: python tests/golden/record.py ({file})"
    said = play(file)
    with np.load(file) as stored:
        assert said["scores"] == pytest.approx(stored["scores"], abs=1e-3)
        assert said["labels"].tolist() == stored["labels"].tolist()
        assert said["levels"].tolist() == stored["levels"].tolist()
    first, last = said["scores"][:, 0].max(), said["scores"][:, -1].max()
    assert last > 2 * first, "the recording runs to failure"
