from itertools import chain

import numpy as np

from training.datasets.synthetic.run_to_failure import simulate
from training.splits import SPLITS, recordings, split

NAMES = [f"machine{i}" for i in range(10)]


def test_every_group_is_in_exactly_one_split():
    dealt = split(NAMES, seed=0)
    assert sorted(chain.from_iterable(dealt.values())) == NAMES
    assert {which: len(names) for which, names in dealt.items()} == {
        "training": 6,
        "validation": 2,
        "test": 2,
    }


def test_order_of_names_does_not_matter_and_the_seed_does():
    assert split(NAMES[::-1], seed=0) == split(NAMES, seed=0)
    assert any(split(NAMES, seed=seed) != split(NAMES, seed=0) for seed in range(1, 5))


def test_too_few_groups_are_all_for_training():
    assert split(["a", "b"], seed=0) == {"training": ["a", "b"], "validation": [], "test": []}


def test_recordings_are_dealt_out_by_data_set():
    simulated = simulate(5, seed=1)
    by_split = [{r.name for r in recordings([simulated], which, seed=3)} for which in SPLITS]
    assert [len(names) for names in by_split] == [3, 1, 1]
    assert set().union(*by_split) == {r.name for r in simulated.recordings}


def test_where_all_are_used_nothing_is_kept_apart():
    """The same groups are validated and tested on, so that figures can be compared; but learned
    from are all."""
    apart, used = split(NAMES, seed=0), split(NAMES, seed=0, uses_all=True)
    assert used["training"] == NAMES
    assert (used["validation"], used["test"]) == (apart["validation"], apart["test"])
    simulated = simulate(5, seed=1)
    names = {
        which: {r.name for r in recordings([simulated], which, seed=3, uses_all=True)}
        for which in SPLITS
    }
    assert names["training"] == {r.name for r in simulated.recordings}
    assert len(names["validation"]) == len(names["test"]) == 1


def test_every_split_gets_its_share_of_every_class():
    """Defects come in a few blocks: most deals leave none, or nearly all, for validation."""
    rng = np.random.default_rng(0)
    blocks = {f"block{i}": {"good": 30, "defect": 0} for i in range(20)}
    for i in range(8):
        blocks[f"block{i}"] = {"good": 5, "defect": int(rng.integers(20, 30))}
    for seed in range(10):
        dealt = split(list(blocks), seed=seed, tests=False, classes=blocks)
        assert len(dealt["validation"]) == 4
        for one in ("good", "defect"):
            rows = [sum(blocks[name][one] for name in dealt[w]) for w in ("training", "validation")]
            assert 0.13 < rows[1] / sum(rows) < 0.27
    first, *others = (split(list(blocks), seed=seed, classes=blocks) for seed in range(5))
    assert first == split(list(blocks)[::-1], seed=0, classes=blocks)
    assert any(other != first for other in others)


def test_groups_that_hold_no_classes_are_dealt_as_they_come():
    nothing: dict[str, dict[str, int]] = {name: {} for name in NAMES}
    assert split(NAMES, seed=0, classes=nothing) == split(NAMES, seed=0)
