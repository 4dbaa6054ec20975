"""What all measurements on faces begin with: the pictures of people as the stages see them.

A picture may show several faces. Every data set of people here has one person to a picture, who is
meant by it, so the largest box is taken: passers-by in the background are smaller.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from contract.spec import Array, Detection, Detections, Floats
from contract.visits import LIVE
from training.datasets import Recording
from training.people import Person
from training.protocols import Bench, Row
from training.verification import paired_cosines
from training.watch import Seen

EMBED = "embed"  # the stage that makes a face's vector


@runtime_checkable
class KnowsFloat(Protocol):
    """A bench that can also run the float model a stage was quantized from."""

    def float_outputs(self, stage: str, inputs: Floats) -> Floats | None:
        """What the float model gives.

        Args:
            stage: name of the stage.
            inputs: (n, *input_shape) float32.

        Returns:
            (n, *output_shape) float32; None where there is no float model.
        """
        ...


@dataclass(frozen=True, eq=False)
class Met:
    """One person, as the stages saw every picture.

    Attributes:
        person: who.
        vectors: the embedding in each picture, through the device's engine; None: no face found.
        floats: the same by the float model; None also where there is none.
        faces: how many faces were found in each picture.
        alike: (n,) cosine between both embeddings of each face found; empty without float model.
    """

    person: Person
    vectors: tuple[Floats | None, ...]
    floats: tuple[Floats | None, ...]
    faces: tuple[int, ...]
    alike: Array

    @property
    def name(self) -> str:
        """Of the person."""
        return self.person.name

    @property
    def found(self) -> int:
        """In how many pictures a face was found."""
        return sum(vector is not None for vector in self.vectors)


def meet(bench: Bench, people: Sequence[Person]) -> list[Met]:
    """Everybody's pictures through the stages, one person after the other."""
    return [_meet(bench, one) for one in bench.each(people, lambda one: one.name)]


def _meet(bench: Bench, person: Person) -> Met:
    seen = see(bench, person.recording)
    exact = [by_float(bench, seen, i) for i in range(len(seen.found))]
    chosen = [largest(found) for found in seen.found]
    return Met(
        person,
        tuple(_vector(found, one) for found, one in zip(seen.found, chosen, strict=True)),
        tuple(_vector(found, one) for found, one in zip(exact, chosen, strict=True)),
        tuple(len(found) for found in seen.found),
        alike(seen.found, exact),
    )


def see(bench: Bench, recording: Recording) -> Seen:
    """The faces in a recording, without what a stage for liveness says of them."""
    seen = bench.see(recording)
    only = tuple(tuple(one for one in found if one.label != LIVE) for found in seen.found)
    return replace(seen, found=only)


def largest(found: Detections) -> int | None:
    """Number of the face with the largest box; None where there is none."""
    areas = {i: _area(one) for i, one in enumerate(found) if one.label != LIVE}
    return max(areas, key=areas.__getitem__) if areas else None


def _area(face: Detection) -> float:
    assert face.box is not None, "what finds faces gives their boxes"
    left, top, right, bottom = face.box
    return (right - left) * (bottom - top)


def _vector(found: Detections, chosen: int | None) -> Floats | None:
    return found[chosen].vector if found and chosen is not None else None


def by_float(bench: Bench, seen: Seen, i: int) -> Detections:
    """The faces of a window, their embeddings by the float model from the very same chips.

    The stage itself makes embeddings of the outputs. It is given what it had found: it replaces
    vectors, and neither adds nor drops a face.

    Args:
        bench: has seen them.
        seen: by it.
        i: number of the window.

    Returns:
        as many as in `seen.found[i]`; none where the bench has no float model.
    """
    if not isinstance(bench, KnowsFloat) or not seen.found[i]:
        return ()
    inputs, _ = seen.passes[EMBED][i]
    outputs = bench.float_outputs(EMBED, inputs)
    if outputs is None:
        return ()
    stage = next(one for one in bench.workload.stages if one.name == EMBED)
    return stage.postprocess(seen.recording.window(i), seen.found[i], inputs, outputs)


def alike(quantized: Iterable[Detections], exact: Iterable[Detections]) -> Array:
    """(n,) cosine between the embeddings of each face by both models; empty without float model."""
    both = [
        (one.vector, other.vector)
        for found, by_exact in zip(quantized, exact, strict=True)
        for one, other in zip(found, by_exact, strict=bool(by_exact))
        if one.vector is not None and other.vector is not None
    ]
    if not both:
        return np.empty(0)
    return paired_cosines(*(np.stack(side) for side in zip(*both, strict=True)))


def counts(met: Sequence[Met]) -> dict[str, float]:
    """How many pictures there were, in how many a face was found, and how near int8 is to float.

    Returns:
        `persons`; `faces`: pictures, each of one person; `found`: those in which a face was found;
        `several_found`: those in which more than one was; and what `int8_to_float` gives.
    """
    return {
        "persons": float(len(met)),
        "faces": float(sum(len(one.vectors) for one in met)),
        "found": float(sum(one.found for one in met)),
        "several_found": float(sum(number > 1 for one in met for number in one.faces)),
    } | int8_to_float([one.alike for one in met])


def int8_to_float(cosines_of_faces: Iterable[Array]) -> dict[str, float]:
    """How near the embeddings of the device's engine are to those of the float model.

    Returns:
        `cosine_float_int8_min` and `cosine_float_int8_mean` over all faces, and how many these
        are, `cosine_float_int8_faces`; nothing where there is no float model.
    """
    together = np.concatenate([np.empty(0), *cosines_of_faces])
    if not len(together):
        return {}
    return {
        "cosine_float_int8_min": float(together.min()),
        "cosine_float_int8_mean": float(together.mean()),
        "cosine_float_int8_faces": float(len(together)),
    }


def row(bench: Bench, met: Met) -> Row:
    """What the table says of every person."""
    return {
        "name": met.name,
        "split": bench.split_of(met.person.recording),
        "pictures": len(met.vectors),
        "found": met.found,
    }
