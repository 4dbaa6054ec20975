"""People made of numbers: pictures that say who is on them, and an eye that reads it."""

from __future__ import annotations

import datetime as dt

import cv2
import numpy as np

from contract import gallery
from contract.gallery import Consent, Person, Picture
from contract.spec import Detection
from edge.enrolment import Eye
from edge.gallery_enrol import Shown
from edge.gallery_pictures import Taken
from edge.gallery_quality import Look

D = 8
SAME = 0.9
MODEL = "0123456789ab"
TODAY = dt.date(2026, 6, 1)
# where eyes, nose and mouth of a face lie that looks straight out of a picture of 160 pixels
FRONTAL = np.array([(52, 55), (108, 55), (80, 88), (80, 115)], np.float32)


def vector(who, shot=0, like=None, much=0.0):
    """(D,) of length 1: persons at right angles, shots a little apart.

    Shots i and j of one person have a cosine of (1 + 0.01 i j) / sqrt((1 + 0.01 i²)(1 + 0.01 j²)).
    """
    made = np.zeros(D)
    made[who] = 1.0
    made[D - 1] = 0.1 * shot
    if like is not None:
        made[like] += much
    return (made / np.linalg.norm(made)).astype(np.float32)


def person(name, *vectors, negatives=(), until=None, kept=()):
    return Person(
        name.encode().hex()[:12],
        name,
        Consent(name, "test", dt.date(2026, 1, 1), until),
        tuple(Picture(gallery.to_text(v), 1.0) for v in vectors),
        tuple(gallery.to_text(v) for v in negatives),
        tuple(map(str, kept)),
    )


def made(*people):
    found = gallery.begin(MODEL, same=SAME)
    for one in people:
        found = gallery.changed(found, one)
    return found


def shown(name, found, quality=1.0, refused=()):
    """A picture with one face in it."""
    face = Detection("face", 1.0, vector=found, points=FRONTAL)
    return Shown(Taken(name, np.zeros((2, 2, 3), np.uint8)), Look(face, refused, (), quality))


def picture(who, shot=0, *, faces=1, like=0, much=0):
    """(160, 160, 3) uint8; its first pixels say who is on it, the rest is sharp and well lit."""
    grey = np.random.default_rng(who * 100 + shot).normal(128, 40, (160, 160, 1))
    data = np.repeat(grey, 3, axis=2).clip(0, 255).astype(np.uint8)
    data[0, 0] = who, shot, faces
    data[0, 1] = like, much, 0
    return data


def put(file, data):
    """As a file, in whatever format its name says."""
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), data[:, :, ::-1])
    return file


def see(window):
    """What the stages of a bundle would have found."""
    (who, shot, faces), (like, much, _) = window.data[0, :2].tolist()
    if who >= D:  # turned: the pixels that say it are elsewhere
        return ()
    found = vector(who, shot, like if much else None, much / 100)
    return (Detection("face", 0.9, vector=3 * found, points=FRONTAL),) * faces


def open_eye(_path, _engine):
    return Eye(MODEL, SAME, see)
