"""What `vedette enrol` and `vedette forget` tell: lines for people, and the same for programs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from contract.gallery import Gallery, Person
from edge import gallery_enrol
from edge.gallery_enrol import Outcome, Shown
from edge.gallery_forget import Erased

Said = tuple[Mapping[str, object], list[str]]


def line(one: Shown) -> str:
    """One picture, and what became of it."""
    said = "; ".join(_said(one))
    mark = ("warn" if said else "ok  ") if one.is_taken else "NO  "
    good = f" (quality {one.look.quality:.2f})" if one.is_taken else ""
    return f"{mark} {one.taken.name}{good}{': ' if said else ''}{said}"


def outcome(found: Outcome, made: Gallery, path: Path, today: dt.date) -> Said:
    """What came of enrolling somebody, picture by picture."""
    told, person = list(found.told), found.person
    if person is not None and not person.consent.is_valid(today):
        told.append(f"consent ended on {person.consent.until}: matched no more; --until DATE")
    # of a camera's the good ones were told when they were taken
    news = (one for one in found.pictures if one.taken.file or not one.is_taken)
    lines = [line(one) for one in news]
    lines += [f"{'warn' if person else 'FAIL'} {one}" for one in told]
    if person is not None:
        lines.append(f"{person.name}: {_many(person)}, in {path}, version {made.version}")
    pictures = [
        {
            "file": one.taken.name,
            "is_taken": one.is_taken,
            "quality": one.look.quality,
            "said": _said(one),
        }
        for one in found.pictures
    ]
    shown = {
        "name": person.name if person else None,
        "is_changed": person is not None,
        "gallery": str(path),
        "version": made.version,
        "pictures": pictures,
        "told": told,
    }
    return shown, lines


def everybody(made: Gallery, path: Path, today: dt.date) -> Said:
    """The consent register, and who looks like whom."""
    told = gallery_enrol.alike(made)
    signed = f"signed with key {made.key_id}" if made.key_id else "not signed"
    what = f"version {made.version}, model {made.model_id}, {signed}"
    lines = [f"{path}: {what}, {len(made.persons)} enrolled, {len(made.erased)} erased"]
    people = []
    for one in made.persons:
        consent = one.consent
        until = f"until {consent.until}" if consent.until else "until withdrawn"
        ended = "" if consent.is_valid(today) else "EXPIRED, matched no more; "
        lines.append(
            f"  {one.name}: {ended}{_many(one)}; "
            f"by {consent.by}, {consent.why or 'no reason given'}, since {consent.since}, {until}"
        )
        people.append(
            {
                "name": one.name,
                "quality": [picture.quality for picture in one.pictures],
                "negatives": len(one.negatives),
                "kept": list(one.kept),
                "by": consent.by,
                "why": consent.why,
                "since": str(consent.since),
                "until": str(consent.until) if consent.until else None,
                "is_expired": bool(ended),
            }
        )
    lines += [f"  erased {when:%Y-%m-%d %H:%M}" for when in made.erased]
    lines += [f"warn {one}" for one in told]
    shown = {
        "gallery": str(path),
        "version": made.version,
        "model_id": made.model_id,
        "key_id": made.key_id or None,
        "people": people,
        "erased": [when.isoformat() for when in made.erased],
        "told": told,
    }
    return shown, lines


def erased(done: Erased, path: Path) -> Said:
    """What was erased, what was read afterwards, and what is left."""
    counts = (
        f"{done.embeddings} embeddings, {done.negatives} negatives of theirs kept with others, "
        f"{len(done.wiped)} kept pictures: overwritten and removed"
    )
    lines = [
        f"{done.people} erased from {path}, now version {done.version}",
        counts,
        f"read {len(done.checked)} files: {', '.join(done.checked)}",
    ]
    lines += [f"warn {name} is still enrolled and looks the same" for name in done.alike]
    lines += [f"LEFT {what}" for what in done.left]
    if not done.left:
        lines.append("nothing of theirs is left in any of them")
    return asdict(done), lines


def _many(person: Person) -> str:
    counts = {"picture": len(person.pictures), "negative": len(person.negatives)}
    return ", ".join(f"{count} {what}{'s' * (count != 1)}" for what, count in counts.items())


def _said(one: Shown) -> list[str]:
    refused = [one.refused] if one.refused else []
    return [*one.look.refused, *refused, *one.look.advice, *one.advice]
