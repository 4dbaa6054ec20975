import json
import re
from itertools import chain

import numpy as np
import pytest

from training.__main__ import main

pytestmark = [
    pytest.mark.training,
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:(tensorflow|keras|google|numpy)\b"),
]


def test_it_says_where_the_run_is_and_how_good(tiny_run):
    folder, said = tiny_run
    assert said["workload"] == "machine_condition"
    assert said["epochs"] == {"spectrum": 3}
    assert set(said["metrics"]["test"]) == {"rebuild_rms", "auroc"}
    assert 0.0 <= said["metrics"]["test"]["auroc"] <= 1.0
    assert (folder / "spectrum.keras").exists()


def test_the_run_remembers_data_versions_and_splits(tiny_run):
    folder, said = tiny_run
    run = json.loads((folder / "run.json").read_text())
    assert run["is_finished"]
    assert {"python", "keras", "numpy"} <= set(run["versions"])
    assert run["sources"][0]["digest"] == said["data"]["simulated"]
    groups = list(chain.from_iterable(run["splits"].values()))
    assert len(groups) == len(set(groups)) == 5


def test_the_report_has_all_sections_and_needs_no_network(tiny_run):
    html = (tiny_run[0] / "report.html").read_text()
    for title in (
        "Summary", "Learning curves", "Scores, healthy against failed", "Score over life",
        "What the model looks at", "Worst mistakes", "Parity",
    ):  # fmt: skip
        assert f"<h2>{title}</h2>" in html
    outside = re.findall(r"""(?:src|href|url\()=?["']?(https?://[^"')]+)""", html)
    assert [link for link in outside if "w3.org" not in link] == []


def test_both_ways_to_fold_the_stages_find_the_same(tiny_run):
    from contract.spec import Detection
    from contract.workloads.machine_condition import WORKLOAD
    from training import backend
    from training.datasets.synthetic.run_to_failure import simulate
    from training.watch import see

    model = backend.as_model(backend.load(tiny_run[0] / "spectrum.keras"))
    machine = simulate(1, seed=9, windows=6).recordings[0]
    seen = see(WORKLOAD, {"spectrum": model}, machine)
    found: tuple[Detection, ...] = ()
    for stage in WORKLOAD.stages:
        rows = stage.preprocess(machine.window(2), found)
        out = model(rows) if stage.input_shape else rows
        found = stage.postprocess(machine.window(2), found, rows, out)
    for one, other in zip(seen.found[2], found, strict=True):
        np.testing.assert_allclose(one.vector, other.vector, atol=1e-5)


def test_a_folder_in_use_is_refused(tiny_run, capsys):
    assert main("train", ["machine_condition", "--out", str(tiny_run[0])]) == 1
    assert "not empty; fix:" in capsys.readouterr().err


def test_a_missing_data_root_is_one_line(tmp_path, capsys):
    arguments = ["machine_condition", "--data", str(tmp_path / "no"), "--out", str(tmp_path / "r")]
    assert main("train", arguments) == 1
    said = capsys.readouterr().err
    assert "no such folder" in said
    assert said.count("\n") == 1


def test_resuming_with_other_data_is_refused(tiny_run, tmp_path, capsys):
    folder, _ = tiny_run
    raw = (folder / "run.json").read_text()
    digest = json.loads(raw)["sources"][0]["digest"]
    (tmp_path / "run.json").write_text(raw.replace(digest, "0" * 64))
    assert main("train", ["machine_condition", "--resume", str(tmp_path)]) == 1
    assert "the data changed since this run" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["no_such"], ["machine_condition", "--epochs", "0"], ["machine_condition", "--seed", "-1"],
     ["machine_condition", "--resume", "x", "--epochs", "3"]],
)  # fmt: skip
def test_wrong_usage_is_exit_code_two(arguments):
    with pytest.raises(SystemExit) as left:
        main("train", arguments)
    assert left.value.code == 2
