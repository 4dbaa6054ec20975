"""Strangers and people who are enrolled walk through a video: film, device, broker, collector."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request

import cv2
import numpy as np
import pytest
from real_broker import until
from system_site import Site

from host import film, people
from host.faces import BUNDLE
from host.film import Scene
from host.phases import DemoError

HOP_S, VISIT_S, GAP_S = 0.25, 3.0, 3.0
LONG_S = 62.0  # who comes back later is on another visit
END_S = 10.0
CONFIG = """
[device]
name = "door-1"
state_dir = "state"

[mqtt]
port = {port}

[[pipeline]]
name = "door"
bundle = "{bundle}"
gallery = "faces.gallery"

[pipeline.source]
type = "pictures"
path = "film.avi"
hop_s = {hop_s}
speed = 0
"""


@pytest.fixture
def chosen() -> list[people.Person]:
    try:
        return people.choose(5)
    except DemoError as error:
        pytest.skip(str(error))


def enrol(site: Site, person: people.Person) -> None:
    """From files, as a person would, into the gallery of the config."""
    for number, file in enumerate(person.to_enrol):
        image = site.folder / person.name / f"{number}.jpg"
        image.parent.mkdir(exist_ok=True)
        image.write_bytes(file.read_bytes())
    asked = ["enrol", person.name, "--images", str(site.folder / person.name), "--why", "a test"]
    asked += ["--config", str(site.folder / "edge.toml")]
    subprocess.run([sys.executable, "-m", "vedette", *asked], check=True, capture_output=True)


def alerts(site: Site) -> list[dict]:
    """In the order in which they were made."""
    return site.get("api/alerts?kind=alert")["alerts"][::-1]


def look(site: Site, alert: dict) -> np.ndarray | None:
    """The picture of an alert, if the device has given it by now."""
    url = f"{site.page}api/evidence/{alert['evidence']}/picture"
    try:
        with urllib.request.urlopen(url, timeout=15) as answer:
            if answer.status != 200:
                return None
            return cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_COLOR)
    except urllib.error.HTTPError:
        return None


@pytest.mark.broker
@pytest.mark.slow
def test_each_visit_is_told_once_and_no_stranger_is_named(site: Site, chosen: list[people.Person]):
    """With a picture of everybody; back within a minute is the same visit, later another."""
    anna, ben, *strangers = chosen
    walk = [anna, strangers[0], ben, strangers[1], anna, strangers[2]]
    scenes = [part for one in walk for part in (Scene((), GAP_S), Scene(one.to_show, VISIT_S))]
    scenes += [Scene((), LONG_S), Scene(ben.to_show, VISIT_S), Scene((), END_S)]
    film.make(site.folder / "film.avi", scenes, rate_hz=1 / HOP_S, seed=1)
    text = CONFIG.format(port=site.broker.port, bundle=BUNDLE, hop_s=HOP_S)
    (site.folder / "edge.toml").write_text(text)
    for person in (anna, ben):
        enrol(site, person)
    device = site.spawn(
        "-m", "vedette", "run", "--config", str(site.folder / "edge.toml"), "--json"
    )
    looks: dict[str, np.ndarray | None] = {}

    def is_over() -> bool:
        for one in alerts(site):
            if one["state"] == "raised" and looks.get(one["id"]) is None:
                looks[one["id"]] = look(site, one)
        return device.poll() is not None

    until(is_over, within_s=120)
    assert device.stdout is not None
    done = json.loads(device.stdout.read().splitlines()[-1])
    assert (device.returncode, done["dropped_windows"]) == (0, 0)
    assert done["windows"] == sum(round(scene.length_s / HOP_S) for scene in scenes)

    told = alerts(site)
    raised = [one for one in told if one["state"] == "raised"]
    stranger, known = ("stranger", "alarm", None), lambda one: ("recognised", "notice", one.name)
    expected = [known(anna), stranger, known(ben), stranger, stranger, known(ben)]
    assert [(one["label"], one["level"], one["who"]) for one in raised] == expected
    assert len({one["visit"] for one in raised}) == len(raised)
    cleared = [one["visit"] for one in told if one["state"] == "cleared"]
    assert sorted(cleared) == sorted(one["visit"] for one in raised)

    starts_s = [place * (GAP_S + VISIT_S) + GAP_S for place in (0, 1, 2, 3, 5)]
    starts_s.append(len(walk) * (GAP_S + VISIT_S) + LONG_S)
    for one, start_s in zip(raised, starts_s, strict=True):
        assert start_s < one["window"] * HOP_S < start_s + VISIT_S
        picture = looks[one["id"]]
        assert picture is not None
        assert 80 < max(picture.shape[:2]) <= 320
