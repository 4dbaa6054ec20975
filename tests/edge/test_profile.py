"""What was learned on site is kept, and refused under any other model."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from fakes import POINT, RunningSum, toy_workload

from contract.spec import Detection
from edge.profile import ProfileMemory


def memory(path, *, model_id="one", learn_windows=3, learns=True):
    return ProfileMemory(
        toy_workload(learns=learns), model_id, POINT, learn_windows=learn_windows, path=path
    )


def learn(into, values):
    for value in values:
        into.add((Detection("mean", vector=np.array([value], np.float32)),))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "p.profile.npz"


def test_a_profile_is_learned_with_the_last_window_needed(path):
    """Not before."""
    made = memory(path)
    learn(made, [1.0, 2.0])
    assert (made.profile, made.gathered) == (None, 2)
    learn(made, [3.0])
    assert made.profile is not None
    np.testing.assert_allclose(made.profile.learned["centre"], [[2.0]])
    assert (made.profile.windows, made.profile.model_id) == (3, "one")


def test_a_learned_profile_is_there_after_a_restart(path):
    """The same numbers, nothing to learn again."""
    learn(memory(path), [1.0, 2.0, 3.0])
    again = memory(path)
    assert again.profile is not None
    np.testing.assert_allclose(again.profile.learned["centre"], [[2.0]])
    assert again.gathered == 3


def test_half_learned_is_kept_over_a_restart_too(path):
    """A power cut costs at most ten windows."""
    learn(memory(path, learn_windows=30), [float(i) for i in range(25)])
    again = memory(path, learn_windows=30)
    assert (again.profile, again.gathered) == (None, 20)
    learn(again, [float(i) for i in range(20, 30)])
    assert again.profile is not None
    np.testing.assert_allclose(again.profile.learned["centre"], [[14.5]])


def test_a_profile_of_another_model_is_put_aside(path, caplog):
    """Its numbers mean something else."""
    learn(memory(path), [1.0, 2.0, 3.0])
    raw = path.read_bytes()
    again = memory(path, model_id="two")
    assert (again.profile, again.gathered) == (None, 0)
    assert path.with_suffix(".one.npz").read_bytes() == raw
    assert "learned with model one, now two" in caplog.text


def test_on_the_way_back_to_a_model_its_profile_is_found_again(path):
    """Nothing to learn a second time; what the other learned is kept likewise."""
    learn(memory(path), [1.0, 2.0, 3.0])
    learn(memory(path, model_id="two"), [7.0, 8.0, 9.0])
    for model_id, centre in (("one", 2.0), ("two", 8.0), ("one", 2.0)):
        back = memory(path, model_id=model_id)
        assert back.profile is not None
        np.testing.assert_allclose(back.profile.learned["centre"], [[centre]])


def test_half_learned_is_found_again_too(path):
    """It goes on where it was."""
    learn(memory(path, learn_windows=30), [float(i) for i in range(10)])
    learn(memory(path, model_id="two"), [7.0, 8.0, 9.0])
    assert memory(path, learn_windows=30).gathered == 10


def test_killed_between_putting_one_aside_and_taking_the_other(path):
    """Neither lies in its place then."""
    learn(memory(path), [1.0, 2.0, 3.0])
    memory(path, model_id="two")
    assert not path.exists()
    assert memory(path).profile is not None


def test_a_profile_that_cannot_be_put_aside_does_not_stop_the_device(path, caplog):
    """Something else lies in its place; the device learns all the same."""
    learn(memory(path), [1.0, 2.0, 3.0])
    path.with_suffix(".one.npz").mkdir()
    again = memory(path, model_id="two")
    assert (again.profile, again.gathered) == (None, 0)
    assert "Is a directory" in caplog.text


def test_few_profiles_are_put_aside(path):
    """Every model of a long life would be a slow leak; the latest stay."""
    for i in range(9):
        learn(memory(path, model_id=f"m{i}"), [1.0, 2.0, 3.0])
    names = {one.name for one in path.parent.iterdir()}
    assert names == {"p.profile.npz", *(f"p.profile.m{i}.npz" for i in (4, 5, 6, 7))}


def test_a_model_that_calls_itself_a_path_gets_no_file_of_that_name(path):
    """The name comes from a file that anybody may have written."""
    learn(memory(path), [1.0, 2.0, 3.0])
    with np.load(path) as stored:
        arrays = dict(stored) | {"model_id": np.array("../../evil")}
    np.savez(path, **arrays)
    assert memory(path).profile is None
    assert [one.name for one in path.parent.iterdir()] == ["p.profile.refused.npz"]


def test_a_profile_with_numbers_that_are_none_is_put_aside(path):
    """Every score would be NaN from then on."""
    learn(memory(path), [1.0, float("inf"), float("inf")])
    assert memory(path).profile is None
    assert path.with_suffix(".refused.npz").exists()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda raw: b"", id="empty"),
        pytest.param(lambda raw: b"junk" * 50, id="junk"),
        pytest.param(lambda raw: raw[: len(raw) // 2], id="truncated"),
    ],
)
def test_a_corrupt_profile_is_put_aside_and_learned_anew(path, damage, caplog):
    """A device must not stop over a file it can make again."""
    learn(memory(path), [1.0, 2.0, 3.0])
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    again = memory(path)
    assert again.profile is None
    assert path.with_suffix(".refused.npz").read_bytes() == damaged
    assert "kept as p.profile.refused.npz" in caplog.text
    learn(again, [1.0, 2.0, 3.0])
    assert memory(path).profile is not None


def test_no_damage_stops_the_device(path):
    """Single bytes changed anywhere: read as it was, or put aside."""
    learn(memory(path), [1.0, 2.0, 3.0])
    raw = path.read_bytes()
    chance = random.Random(3)
    for at in chance.sample(range(len(raw)), 300):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ (1 << chance.randrange(8))]) + raw[at + 1 :])
        memory(path)


def test_a_disk_without_space_does_not_stop_the_watching(tmp_path, caplog):
    """The profile is kept in memory; the folder is missing here, which fails the same way."""
    made = memory(tmp_path / "gone" / "p.profile.npz")
    learn(made, [1.0, 2.0, 3.0])
    assert made.profile is not None
    assert caplog.text.count("cannot be saved") == 1


def test_a_profile_is_saved_when_the_disk_takes_it_again(tmp_path, monkeypatch):
    """Or a restart would learn anew, on a machine that may be sick by then."""
    monkeypatch.setattr("edge.profile._RETRY_S", 0.0)
    path = tmp_path / "gone" / "p.profile.npz"
    made = memory(path)
    learn(made, [1.0, 2.0, 3.0])
    made.save_again()
    path.parent.mkdir()
    made.save_again()
    np.testing.assert_allclose(memory(path).profile.learned["centre"], [[2.0]])
    path.unlink()
    made.save_again()
    assert not path.exists(), "once is enough"


def test_a_workload_that_learns_nothing_has_its_profile_at_once(path):
    """There is nothing to wait for."""
    made = memory(path, learns=False)
    assert made.profile is not None
    assert made.learn_windows == 0
    assert not path.exists()


FOLLOWED = replace(toy_workload(), follow=RunningSum)


def following(path, *, model_id="one"):
    return ProfileMemory(FOLLOWED, model_id, POINT, learn_windows=3, path=path)


def test_there_is_a_follower_as_soon_as_the_profile_is_learned(path):
    """It belongs to that profile."""
    made = following(path)
    assert made.follower is None
    learn(made, [1.0, 2.0, 3.0])
    assert made.follower.total == 0.0
    assert memory(path).follower is None, "this workload has none"


def test_what_was_followed_is_there_after_a_restart(path):
    """What only time has taught: the profile does not change, so it is saved with it again."""
    made = following(path)
    learn(made, [1.0, 2.0, 3.0])
    made.follower.total = 4.5
    made.save()
    again = following(path)
    assert again.follower.total == 4.5
    np.testing.assert_allclose(again.profile.learned["centre"], [[2.0]])
    assert (again.gathered, again.profile.windows) == (3, 3)


def test_what_follows_a_bundle_s_own_profile_is_there_after_a_restart(path):
    """What was learned is in the bundle, and stays there."""
    workload = replace(toy_workload(learns=False), follow=RunningSum)
    given = {"centre": np.array([[2.0]])}

    def made(model_id):
        return ProfileMemory(workload, model_id, POINT, learn_windows=0, path=path, given=given)

    first = made("one")
    first.follower.total = 4.5
    first.save()
    assert made("one").follower.total == 4.5
    np.testing.assert_allclose(made("one").profile.learned["centre"], given["centre"])
    assert not any(name.startswith("learned.") for name in np.load(path))
    assert made("two").follower.total == 0.0, "another bundle learned from others"
    assert made("one").follower.total == 4.5


def test_who_is_followed_is_never_written(path):
    """Embeddings belong to the gallery, where they can be forgotten."""
    workload = replace(toy_workload(learns=False), follow=RunningSum)
    made = ProfileMemory(workload, "one", POINT, learn_windows=0, path=path)
    made.save()
    assert not path.exists()


def test_what_was_followed_is_saved_from_time_to_time_and_not_with_every_window(path, monkeypatch):
    """An SD card wears out; a power cut may cost what was seen since."""
    monkeypatch.setattr("edge.profile._FOLLOWED_S", 1e6)
    made = following(path)
    learn(made, [1.0, 2.0, 3.0])
    made.follower.total = 4.5
    made.save_again()
    assert following(path).follower.total == 0.0
    monkeypatch.setattr("edge.profile._FOLLOWED_S", 0.0)
    made.save()  # from now on it is due at once
    made.follower.total = 6.0
    made.save_again()
    assert following(path).follower.total == 6.0


def test_on_the_way_back_to_a_model_what_was_followed_with_it_goes_on(path):
    """Each model's own."""
    first = following(path)
    learn(first, [1.0, 2.0, 3.0])
    first.follower.total = 4.5
    first.save()
    learn(following(path, model_id="two"), [7.0, 8.0, 9.0])
    assert following(path).follower.total == 4.5
    assert following(path, model_id="two").follower.total == 0.0


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda a: a.update({"followed.total": np.zeros((2, 2))}), id="shape"),
        pytest.param(lambda a: a.update({"followed.total": np.array(1.0)}), id="no array"),
        pytest.param(lambda a: a.update({"followed.total": np.array([np.nan])}), id="nan"),
        pytest.param(lambda a: a.update({"followed.total": np.array(["x"])}), id="text"),
        pytest.param(
            lambda a: a.update({"followed.other": a.pop("followed.total")}), id="another name"
        ),
    ],
)
def test_what_was_followed_and_makes_no_sense_costs_not_what_was_learned(path, spoil, caplog):
    """To learn again, on a machine that may be sick by now, would be worse than to follow anew."""
    made = following(path)
    learn(made, [1.0, 2.0, 3.0])
    made.follower.total = 4.5
    made.save()
    with np.load(path) as stored:
        arrays = dict(stored)
    spoil(arrays)
    np.savez(path, **arrays)
    again = following(path)
    np.testing.assert_allclose(again.profile.learned["centre"], [[2.0]])
    assert again.follower.total == 0.0
    assert "what was followed is unreadable" in caplog.text
    again.save()
    assert following(path).follower.total == 0.0


def test_a_profile_from_before_anything_was_followed_is_taken(path):
    """Of an earlier version of the same model."""
    learn(memory(path), [1.0, 2.0, 3.0])
    again = following(path)
    assert (again.gathered, again.follower.total) == (3, 0.0)


def test_what_was_followed_is_kept_for_a_disk_that_takes_nothing_now(tmp_path, monkeypatch):
    """And saved when it does."""
    monkeypatch.setattr("edge.profile._RETRY_S", 0.0)
    path = tmp_path / "gone" / "p.profile.npz"
    made = following(path)
    learn(made, [1.0, 2.0, 3.0])
    made.follower.total = 4.5
    made.save()
    path.parent.mkdir()
    made.save_again()
    assert following(path).follower.total == 4.5
