"""What judges a recording was made without it."""

from dataclasses import replace

import pytest

from training import recipes
from training.datasets.synthetic.run_to_failure import simulate
from training.leave_one_out import LeaveOneOut

pytestmark = [
    pytest.mark.training,
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:(tensorflow|keras|google|numpy)\b"),
]


class Silent:
    """Shows nobody whose turn it is."""

    def each(self, things, _named):
        return things


def test_model_and_point_are_made_without_the_recording_and_with_all_others():
    recipe = recipes.load("machine_condition")
    learned = []

    def starts(recordings):
        learned.append([one.name for one in recordings])
        return recipe.stages["spectrum"].data(recordings)

    quick = replace(
        recipe,
        sources=lambda _root, seed: (simulate(1, seed=seed + 5, windows=100),),
        stages={"spectrum": replace(recipe.stages["spectrum"], data=starts, epochs=1)},
    )
    # as if they were real: the made-up ones that are always there have another name
    lives = simulate(3, seed=1, windows=100)
    real = replace(
        lives, recordings=tuple(replace(r, name=f"b{i}") for i, r in enumerate(lives.recordings))
    )
    from contract.workloads.machine_condition import WORKLOAD

    bench = LeaveOneOut(WORKLOAD, quick, real, seed=0, shown=Silent())
    seen = bench.see(real.recordings[1])
    assert seen.recording.name == "b1"
    assert learned == [["b0", "b2", "machine000"]]
    chosen_on = bench.point(real.recordings[1]).chosen_on
    assert "simulated/b0" in chosen_on
    assert "simulated/b1" not in chosen_on
    assert bench.split_of(real.recordings[1]) == "left out"
    with pytest.raises(KeyError):
        bench.point(real.recordings[0])
