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
    scores, labels = play(file)
    with np.load(file) as stored:
        assert scores == pytest.approx(stored["scores"], abs=1e-3)
        assert labels == stored["labels"].tolist()
    assert scores[-1] > 2 * scores[0], "the recording runs to failure"
