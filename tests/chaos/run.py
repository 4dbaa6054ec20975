"""One run: a schedule of faults, a drain, and what was raised against what is stored."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from chaos import oracle
from chaos.oracle import Raised, Stored
from chaos.schedule import Planned, Step
from chaos.site import Site
from chaos.supervisor import EX_CONFIG, Exit
from chaos.units import DEVICES, SERVICES

_LOOK_S = 1.0
_ALIVE_S = 60.0
_MOST_EXITS = 3  # of one unit around one fault; more is a crash loop


@dataclass
class Fault:
    """One fault that has happened; on the monotonic clock and on the wall clock."""

    number: int
    planned: Planned
    began_s: float
    began_ns: int
    ended_s: float = 0.0
    ended_ns: int = 0
    proof: str = ""
    error: str = ""

    def __str__(self) -> str:
        return f"fault {self.number}, {self.planned.kind.name}, {self.planned.target}"


@dataclass
class Outcome:
    """What a run has shown.

    Attributes:
        faults: in the order of their beginning.
        raised: by the devices' own word, up to the end of the last fault.
        stored: in the end.
        lost: raised and not stored.
        died: held in memory on a full disk by a process that was killed before there was space.
        copies: how many the collectors had recognised at which monotonic time.
        exits: ends nobody asked for, by unit.
        starts: by unit.
        failures: one line each; none when all is as promised.
    """

    faults: list[Fault] = field(default_factory=list)
    raised: list[Raised] = field(default_factory=list)
    stored: Stored = field(default_factory=Stored)
    lost: list[Raised] = field(default_factory=list)
    died: list[Raised] = field(default_factory=list)
    copies: list[tuple[float, int]] = field(default_factory=list)
    exits: dict[str, list[Exit]] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def nearest(self, at_s: float) -> Fault:
        """The fault that lasted at this time, or that was nearest to it."""
        return min(
            self.faults, key=lambda fault: max(fault.began_s - at_s, at_s - fault.ended_s, 0.0)
        )


class Run:
    """Carries out one schedule on one site."""

    def __init__(self, site: Site, steps: list[Step], *, say: Callable[[str], None]) -> None:
        self._site = site
        self._steps = steps
        self._say = say
        self._total = sum(len(step.faults) for step in steps)
        self._outcome = Outcome()

    def __call__(self, *, drain_s: float) -> Outcome:
        """All faults, then quiet, then the verdict.

        Args:
            drain_s: how long after the last fault everything raised until then must be stored.
        """
        stop = threading.Event()
        watching = threading.Thread(target=self._count_copies, args=(stop,), daemon=True)
        watching.start()
        number, began_s = 0, time.monotonic()
        for step in self._steps:
            time.sleep(max(began_s + step.at_s - time.monotonic(), 0.0))
            threads = []
            for planned in step.faults:
                number += 1
                threads.append(threading.Thread(target=self._do, args=(number, planned)))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self._say("all faults undone; waiting for what is on its way")
        self._drain(drain_s)
        self._prove_life()
        stop.set()
        watching.join()
        self._stop_services()
        self._judge()
        return self._outcome

    def _do(self, number: int, planned: Planned) -> None:
        time.sleep(planned.after_s)
        fault = Fault(number, planned, time.monotonic(), time.time_ns())
        self._outcome.faults.append(fault)
        try:
            rng = Random(planned.seed)
            fault.proof = planned.kind.act(self._site, planned.target, rng, planned.lasts_s)
        except Exception as error:  # noqa: BLE001 -- whatever it is: the run has failed, and goes on
            fault.error = f"{type(error).__name__}: {error}"
        fault.ended_s, fault.ended_ns = time.monotonic(), time.time_ns()
        lasted_s = fault.ended_s - fault.began_s
        self._say(f"{fault} of {self._total}, {lasted_s:.1f} s: {fault.error or fault.proof}")

    def _count_copies(self, stop: threading.Event) -> None:
        while not stop.wait(_LOOK_S):
            if (copies := oracle.redelivered(self._site.store)) is not None:
                self._outcome.copies.append((time.monotonic(), copies))

    def _drain(self, drain_s: float) -> None:
        """Wait until everything raised up to now is stored."""
        outcome = self._outcome
        outcome.raised = self._site.oracle.raised()
        deadline_s = time.monotonic() + drain_s
        while time.monotonic() < deadline_s:
            outcome.stored = oracle.stored(self._site.store)
            self._compare()
            if not outcome.lost:
                return
            time.sleep(_LOOK_S)

    def _compare(self) -> None:
        missing = [
            each for each in self._outcome.raised if each.id not in self._outcome.stored.at_ns
        ]
        self._outcome.died = [each for each in missing if self._has_died(each)]
        self._outcome.lost = [each for each in missing if each not in self._outcome.died]

    def _has_died(self, each: Raised) -> bool:
        """Whether it was only in memory, as its device had said, when that was killed."""
        return each.is_held and any(
            each.mono_s - _LOOK_S < end_s < fault.ended_s + _LOOK_S
            for fault in self._outcome.faults
            if fault.planned.kind.needs == "disk" and fault.planned.target == each.device
            for end_s in self._site.units[each.device].ends_s
            if fault.began_s < each.mono_s < fault.ended_s + _LOOK_S
        )

    def _prove_life(self) -> None:
        """Every device must still raise alerts, and they must still arrive."""
        began_s = time.monotonic()
        missing = set(DEVICES)
        while missing and time.monotonic() < began_s + _ALIVE_S:
            time.sleep(_LOOK_S)
            at_ns = oracle.stored(self._site.store).at_ns
            new = [each for each in self._site.oracle.raised() if each.mono_s > began_s]
            missing -= {each.device for each in new if each.id in at_ns}
        self._outcome.failures += [f"{name}: nothing arrives any more" for name in missing]

    def _stop_services(self) -> None:
        for name, unit in self._site.units.items():
            self._outcome.starts[name] = unit.starts
            self._outcome.exits[name] = list(unit.exits)
        for name in SERVICES:
            if (code := self._site.units[name].stop()) != 0:
                self._outcome.failures.append(f"{name} answers SIGTERM with exit code {code}")

    def _judge(self) -> None:
        outcome, failures = self._outcome, self._outcome.failures
        outcome.stored = oracle.stored(self._site.store)
        self._compare()
        failures += [
            f"lost: {each.id} of {each.device}, raised near {outcome.nearest(each.mono_s)}"
            for each in outcome.lost
        ]
        failures += [f"stored more than once: {name}" for name in outcome.stored.doubled]
        failures += [f"two alerts in one place: {place}" for place in outcome.stored.reused]
        failures += [f"{fault}: {fault.error}" for fault in outcome.faults if fault.error]
        failures += [f"not shown: {what}" for what, is_true in self._site.to_prove if not is_true()]
        for name, exits in outcome.exits.items():
            failures += self._crash_loops(name, exits)

    def _crash_loops(self, name: str, exits: list[Exit]) -> list[str]:
        """A unit may end once or twice by itself and be started again, not for ever."""
        around: defaultdict[int, list[Exit]] = defaultdict(list)
        for each in exits:
            around[self._outcome.nearest(each.at_s).number].append(each)
        return [
            f"{name} ends again and again, near {self._outcome.nearest(some[0].at_s)}, with"
            f" {some[-1].code}: {some[-1].last_words}"
            for some in around.values()
            if len(some) > _MOST_EXITS or some[-1].code == EX_CONFIG
        ]
