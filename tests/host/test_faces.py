"""Who is chosen for the demo of faces, and what is said of each visit."""

from __future__ import annotations

from pathlib import Path

import pytest

from host import faces, people
from host.people import Person
from host.phases import DemoError


def labels(folder: Path, *rows: str) -> None:
    """A data root with these rows: file, subject, place, face_covered."""
    (folder / people.SET).mkdir()
    text = "\n".join(["file,subject,place,face_covered", *rows])
    (folder / people.SET / "labels.csv").write_text(text)


def test_nobody_is_shown_in_a_picture_they_were_enrolled_from(tmp_path, monkeypatch):
    """Five pictures at least, indoors, the whole face."""
    monkeypatch.setenv("VEDETTE_DATA", str(tmp_path))
    few = [f"images/few{i}.jpg,few,indoor,0" for i in range(4)]
    out = [f"images/out{i}.jpg,out,outdoor,0" for i in range(9)]
    hand = [f"images/hand{i}.jpg,hand,indoor,{int(i < 5)}" for i in range(9)]
    good = [f"images/good{i}.jpg,good,indoor,0" for i in range(9)]
    labels(tmp_path, *few, *out, *hand, *good)
    (only,) = people.choose(1)
    files = [f"good{i}.jpg" for i in range(5)]
    assert [file.name for file in (*only.to_enrol, *only.to_show)] == files
    assert only.to_enrol[0] == tmp_path / people.SET / "images" / "good0.jpg"
    with pytest.raises(DemoError, match="pictures of 1 people; need 2"):
        people.choose(2)


def test_another_table_is_refused(tmp_path, monkeypatch):
    """With its name."""
    monkeypatch.setenv("VEDETTE_DATA", str(tmp_path))
    (tmp_path / people.SET).mkdir()
    (tmp_path / people.SET / "labels.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DemoError, match=r"labels\.csv: not the labels"):
        people.choose(1)


VISITORS = [Person(name, (), ()) for name in ("one", "two")]


def alert(at_s: float, label: str, who: str | None = None) -> dict:
    return {"window": round(at_s * 5), "label": label, "who": who}


def test_what_was_said_is_told_of_whom_it_was_said():
    """By when it was: a visit of four seconds after three of nobody."""
    raised = [alert(12, "stranger"), alert(5, "recognised", "one")]
    told = faces.summary(raised, VISITORS, {"one"})
    assert told["visits"] == [
        {"person": "one", "is_enrolled": True, "said": ["one"]},
        {"person": "two", "is_enrolled": False, "said": ["stranger"]},
    ]
    assert (told["recognised"], told["strangers"], told["named_wrong"]) == (1, 1, 0)


def test_a_stranger_who_is_named_is_wrong():
    """Whoever's the name is."""
    told = faces.summary([alert(12, "recognised", "one")], VISITORS, {"one"})
    assert told["visits"][0]["said"] == []
    assert told["named_wrong"] == 1
