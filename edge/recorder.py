"""Why an alert was raised, for people: in words, in a picture, and as evidence on the disk."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np

from contract import evidence
from contract.evidence import EvidenceFile
from contract.inspection import PASS, REJECT, Part
from contract.machine import Explanation, Machine
from contract.messages import Address, Alert, Body, Reading
from contract.shelf import Shelf
from contract.spec import Detections, Window
from edge import heat
from edge.crops import Crops
from edge.serving import Serving

log = logging.getLogger(__name__)

_MOST_TEXT = 1000  # characters, as `Alert` has them


class Recorder:
    """Gives the alerts of one pipeline their words and evidence. Not shared between threads.

    Nothing that goes wrong here holds an alert back: it goes out without, and is counted.

    Attributes:
        lost: alerts raised, and parts rejected or sent to a person, without words or evidence,
            though they could have had them.
    """

    def __init__(self, machine: Machine, address: Address, shelf: Shelf) -> None:
        """Nothing is opened yet.

        Args:
            machine: what the config says about it.
            address: of the pipeline.
            shelf: keeps the evidence.
        """
        self.lost = 0
        self._why = ""  # evidence cannot be kept just now
        self._machine = machine
        self._address = address
        self._shelf = shelf
        self._crops = Crops()
        self._part: Part | None = None

    def see(self, found: Detections, window: Window) -> None:
        """Keep the best look at each person, for when something is said of them; and the part.

        Args:
            found: in `window`.
            window: as the sensor gave it.
        """
        self._crops.see(found, window)
        self._part = next((one for one in found if isinstance(one, Part)), None)

    def __call__(
        self, bodies: Sequence[Body], window: Window, serving: Serving, t_s: float
    ) -> list[Body]:
        """The same messages; where an alert is raised, with words, severity and evidence.

        Where a person is on a visit the evidence is the best look at their face so far; of a part
        that does not pass its picture with the heat map, with its reading too; where the workload
        can explain itself, the raw window.

        The evidence is on the disk when this returns.

        Args:
            bodies: what the policy says of `window`.
            window: as the sensor gave it.
            serving: knows workload, healthy windows and trends.
            t_s: the window's time in the trend.
        """
        if self._part is not None:
            return self._of_part(self._part, bodies, window, serving)
        raised = [body for body in bodies if isinstance(body, Alert) and body.state == "raised"]
        if not raised:
            return list(bodies)
        if serving.bundle.workload.explain is None:
            return [self._pictured(body, window, serving) for body in bodies]
        explanation = self._explain(window, serving)
        trend = serving.trends[raised[0].level].points(t_s, threshold=raised[0].threshold)
        digest = self._keep(
            replace(
                self._evidence(window, serving),
                window=window.data,
                spectra=explanation.spectra if explanation else {},
                trend=trend,
            )
        )
        if explanation is None or digest is None:
            self.lost += len(raised)
        return [
            body if body not in raised else _told(body, explanation, digest, serving, t_s)
            for body in bodies
        ]

    def _explain(self, window: Window, serving: Serving) -> Explanation | None:
        workload = serving.bundle.workload
        assert workload.explain is not None
        try:
            return workload.explain(window, serving.healthy.like(window), self._machine)
        except Exception:
            log.exception("%s: an alert goes without words", self._address.pipeline)
            return None

    def _of_part(
        self, part: Part, bodies: Sequence[Body], window: Window, serving: Serving
    ) -> list[Body]:
        about = [body for body in bodies if _is_about_reject(body)]
        if part.label == PASS or not about or window.data.size == 0:
            return list(bodies)
        try:
            picture = heat.jpeg(window, part)
        except ModuleNotFoundError as error:
            self._log(f"{error.name} is not installed")
            picture = None
        made = picture and replace(self._evidence(window, serving), picture=picture)
        digest = self._keep(made) if made else None
        self.lost += digest is None
        return [
            msgspec.structs.replace(body, evidence=digest) if body in about else body
            for body in bodies
        ]

    def _pictured(self, body: Body, window: Window, serving: Serving) -> Body:
        if not isinstance(body, Alert) or body.state != "raised" or body.visit is None:
            return body
        try:
            picture = self._crops.jpeg(body.visit)
        except ModuleNotFoundError as error:
            self._log(f"{error.name} is not installed")
            picture = None
        made = picture and replace(self._evidence(window, serving), picture=picture)
        digest = self._keep(made) if made else None
        self.lost += digest is None
        return msgspec.structs.replace(body, evidence=digest)

    def _evidence(self, window: Window, serving: Serving) -> EvidenceFile:
        """Of this window, as yet without what was seen in it."""
        return EvidenceFile(
            window=np.zeros(0, np.float32),
            rate_hz=window.rate_hz,
            wall_ns=window.wall_ns,
            seq=window.seq,
            source=self._address.source,
            workload=serving.bundle.workload.name,
            unit=self._machine.unit or "",
        )

    def _keep(self, made: EvidenceFile) -> str | None:
        """Hash of the evidence; None where it cannot be kept."""
        try:
            digest = self._shelf.put(evidence.encode(made))
        except OSError as error:
            self._log(error.strerror or str(error))
        except ValueError as error:
            self._log(str(error))
        else:
            self._why = ""
            return digest
        return None

    def _log(self, why: str) -> None:
        if why != self._why:  # once, not with every alert while a disk is full; all are counted
            log.error("%s: alerts go without evidence: %s", self._address.pipeline, why)
        self._why = why


def _is_about_reject(body: Body) -> bool:
    """Whether a message is about a part that did not pass."""
    if isinstance(body, Alert):
        return body.state == "raised" and body.label == REJECT
    return isinstance(body, Reading) and body.label != PASS


def _told(
    alert: Body, explanation: Explanation | None, digest: str | None, serving: Serving, t_s: float
) -> Alert:
    assert isinstance(alert, Alert)
    said = [alert.text, explanation.text if explanation else ""]
    said.append(serving.trends[alert.level].words(t_s, threshold=alert.threshold))
    return msgspec.structs.replace(
        alert,
        text=" ".join(filter(None, said))[:_MOST_TEXT],
        severity=(explanation and explanation.severity) or alert.severity,
        evidence=digest,
    )
