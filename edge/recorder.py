"""Why an alert was raised, for people: in words, and as evidence on the disk."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from contract import evidence
from contract.evidence import EvidenceFile
from contract.machine import Explanation, Machine
from contract.messages import Address, Alert, Body
from contract.shelf import Shelf
from contract.spec import Floats, Window
from edge.serving import Serving

log = logging.getLogger(__name__)

_MOST_TEXT = 1000  # characters, as `Alert` has them


class Recorder:
    """Gives the alerts of one pipeline their words and evidence. Not shared between threads.

    Nothing that goes wrong here holds an alert back: it goes out without, and is counted.

    Attributes:
        lost: alerts raised without words or evidence, though they could have had them.
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

    def __call__(
        self, bodies: Sequence[Body], window: Window, serving: Serving, t_s: float
    ) -> list[Body]:
        """The same messages; where an alert is raised, with words, severity and evidence.

        The evidence is on the disk when this returns.

        Args:
            bodies: what the policy says of `window`.
            window: as the sensor gave it.
            serving: knows workload, healthy windows and trends.
            t_s: the window's time in the trend.
        """
        raised = [body for body in bodies if isinstance(body, Alert) and body.state == "raised"]
        if not raised or serving.bundle.workload.explain is None:
            return list(bodies)
        explanation = self._explain(window, serving)
        trend = serving.trends[raised[0].level].points(t_s, threshold=raised[0].threshold)
        digest = self._store(explanation or Explanation(""), window, serving, trend)
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

    def _store(
        self, explanation: Explanation, window: Window, serving: Serving, trend: Floats
    ) -> str | None:
        """Hash of the evidence; None where it cannot be kept."""
        try:
            raw = evidence.encode(
                EvidenceFile(
                    window=window.data,
                    rate_hz=window.rate_hz,
                    wall_ns=window.wall_ns,
                    seq=window.seq,
                    source=self._address.source,
                    workload=serving.bundle.workload.name,
                    unit=self._machine.unit or "",
                    spectra=explanation.spectra,
                    trend=trend,
                )
            )
            digest = self._shelf.put(raw)
        except OSError as error:
            why = error.strerror or str(error)
        except ValueError as error:
            why = str(error)
        else:
            self._why = ""
            return digest
        if why != self._why:  # once, not with every alert while a disk is full; all are counted
            log.error("%s: alerts go without evidence: %s", self._address.pipeline, why)
        self._why = why
        return None


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
