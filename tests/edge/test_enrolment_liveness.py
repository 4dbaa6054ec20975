"""A photograph held up to the camera enrols nobody; one that somebody chose is spoken of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gallery_people import picture, see

from contract.spec import Detection
from contract.visits import LIVE, SPOOF
from edge import enrolment
from edge.gallery_pictures import Taken
from edge.gallery_quality import told_apart

BOX, OTHER = (1.0, 2.0, 3.0, 4.0), (9.0, 9.0, 19.0, 19.0)


def test_faces_are_told_from_pictures_of_faces():
    vector = np.ones(3, np.float32)
    found = (
        Detection("face", 0.9, vector, box=BOX),
        Detection("face", 0.8, vector, box=OTHER),
        Detection(LIVE, 0.39, box=BOX),
        Detection(LIVE, 0.4, box=OTHER),
    )
    told = told_apart(found, least_live=0.4)
    assert [(one.label, one.score, one.box) for one in told] == [
        (SPOOF, 0.9, BOX),
        ("face", 0.8, OTHER),
    ]
    assert told_apart(found[:2], least_live=0.4) == found[:2]  # a bundle without such a stage


@pytest.mark.parametrize(("file", "is_taken"), [(None, False), (Path("passport.jpg"), True)])
def test_a_picture_of_a_face_is_refused_from_a_camera_alone(file, is_taken):
    def see_spoof(window):
        return tuple(replace(one, label=SPOOF) for one in see(window))

    taken = Taken("picture 1", picture(0), file)
    (shown,) = enrolment.show([taken], see_spoof)
    assert shown.is_taken is is_taken
    said = shown.look.advice if is_taken else shown.look.refused
    assert any(one.startswith("a picture of a face") for one in said)
