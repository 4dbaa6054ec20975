"""The threshold of the shipped faces: whom a device would have taken for another."""

import numpy as np

from contract.spec import Detection, Window
from training.datasets import Recording
from training.watch import Seen
from training.weights import faces


def seen(name, vectors, dataset="a"):
    """A person whose pictures have these embeddings; None: no face in it."""

    def window(i):
        return Window("drawn", i, i, 0, np.full((2, 2, 3), i, np.uint8), 0.0)

    def face(vector, size):
        box = (0.0, 0.0, size, size)
        return Detection("face", 0.9, vector=np.array(vector, np.float32), box=box)

    life = np.linspace(0.1, 1.0, len(vectors), dtype=np.float32)
    recording = Recording(name, dataset, life, 0, None, "", window)
    found = tuple(
        () if vector is None else (face(np.zeros(2), 1.0), face(vector, 9.0)) for vector in vectors
    )
    return Seen(recording, tuple(range(len(vectors))), found, {})


def test_pictures_are_compared_with_what_is_kept_of_the_first_three_of_others():
    asked = []

    def enrolled(window, face):
        asked.append(int(window.data[0, 0, 0]))
        return face.vector

    people = [
        seen("p", [None, (1, 0), (1, 0), (1, 0), (0, 1)]),  # the last is not enrolled from
        seen("q", [(0, 1), (0, 1)]),
        seen("nobody", [None]),
        seen("r", [(1, 0)] * 5, dataset="b"),  # nobody else there
    ]
    measured = faces.strangers(people, enrolled).measured()
    assert sorted(asked) == sorted([1, 2, 3, 0, 1, 0, 1, 2])
    # p's four faces with q, q's two with p; one of p's is like q, none of q's like p's enrolled
    assert measured["impostor_pairs"] == 6.0
    assert measured["impostors_at_0.9980"] == 1.0


def test_what_is_kept_counts_not_what_was_seen():
    people = [seen("p", [(1, 0)] * 9), seen("q", [(0, 1)] * 9)]
    apart = faces.strangers(people, lambda _window, face: face.vector).measured()
    alike = faces.strangers(people, lambda *_: np.array([1.0, 0.0], np.float32)).measured()
    assert apart["impostors_at_0.9000"] == 0.0
    assert alike["impostors_at_0.9000"] == 9.0
    assert alike["impostor_pairs"] == 18.0
