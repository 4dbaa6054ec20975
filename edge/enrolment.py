"""`vedette enrol` and `vedette forget`: who is recognised, from which pictures, and who no more."""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from contract import gallery
from contract.gallery import Consent, Gallery, GalleryError, Person
from contract.spec import Detections, ImageSpec, Window
from contract.visits import SPOOF, Rules
from edge import (
    config,
    gallery_enrol,
    gallery_file,
    gallery_forget,
    gallery_pictures,
    gallery_say,
    gallery_upright,
    sources,
)
from edge.bundle import Bundle
from edge.check import EX_CONFIG
from edge.config import PipelineConfig
from edge.errors import BundleError, ConfigError, OutputError, VedetteError
from edge.gallery_enrol import MOST_AT_ONCE, Outcome, Shown
from edge.gallery_pictures import Taken
from edge.gallery_quality import Look, look, told_apart
from edge.gallery_say import Said
from edge.pipeline import run_stage

_ENROL = """examples:
  vedette enrol Anna --images anna/ --why "opens the door" --until 2027-12-31
  vedette enrol Anna --camera --config edge.toml --pipeline door
  vedette enrol --not Anna --images taken-for-anna/
  vedette enrol --list

One to five pictures of one person, the whole face from the front, not all taken at the same moment.
Every picture is judged, in words. Embeddings are kept, pictures are not, unless --keep-pictures.
A running device takes up the change within a second.

--not NAME: these are pictures of somebody else, who was taken for NAME and will not be any more.
NAME alone with --why, --by or --until changes what the consent register says of NAME.

exit codes: 0 enrolled, 1 nobody was, 78 wrong gallery, bundle or config (a person must act)
"""
_FORGET = """examples:
  vedette forget Anna --config edge.toml
  vedette forget --expired

Erases embeddings and kept pictures, overwrites them on the disk, and reads every file beside the
gallery afterwards. The consent register says that somebody was erased and when, not who. Galleries
that were copied elsewhere must be replaced by this one.

exit codes: 0 erased and nothing left, 1 something is left and where, 78 wrong gallery or config
"""
_HELD_UP = "a picture of a face, or looks like one; show the living face, in even light"
_GALLERY, _BUNDLE = Path("faces.gallery"), Path("bundles/faces")
See = Callable[[Window], Detections]


@dataclass(frozen=True)
class Eye:
    """What finds and describes faces: the stages of a bundle.

    Attributes:
        model_id: of its models.
        same: cosine from which two faces are one person's.
        see: the faces in a picture.
    """

    model_id: str
    same: float
    see: See


Open = Callable[[Path, str | None], Eye]


@dataclass(frozen=True, eq=False)
class Place:
    """What the options say together with the config.

    Attributes:
        gallery: its file.
        key: of the site; None: it is not signed.
        pipeline: of the config; None: no config was given.
        base: folder that the config's paths start from.
        state_dir: of the device; None: no config was given.
    """

    gallery: Path
    key: bytes | None
    pipeline: PipelineConfig | None
    base: Path
    state_dir: Path | None


def main(verb: str, argv: list[str], open_eye: Open | None = None) -> int:
    """Run `enrol` or `forget`; the exit code is returned.

    Args:
        verb: which.
        argv: its options.
        open_eye: opens the bundle at a path, for an engine; None: as the device does.
    """
    arguments = _parse(verb, argv)
    try:
        place = _place(arguments)
        if verb == "forget":
            return _forget(arguments, place)
        if arguments.list:
            return _list(arguments, place)
        if not (arguments.images or arguments.camera):
            return _change_consent(arguments, place)
        return _enrol(arguments, place, open_eye or open_bundle)
    except (VedetteError, GalleryError) as error:
        sys.stderr.write(f"vedette {verb}: {error}\n")
        return EX_CONFIG if isinstance(error, ConfigError | BundleError) else 1


def show(taken: Iterable[Taken], see: See) -> Iterator[Shown]:
    """Each picture with what it is good for; those of files are not kept in memory."""
    for one in taken:
        try:
            seen = _looked_at(one, see)
        except OutputError as error:
            seen = Look(None, (f"{error}; another picture",))
        yield Shown(one if one.file is None else replace(one, data=None), seen)


def _looked_at(one: Taken, see: See) -> Look:
    found = see(one.window) if one.data is not None else ()
    seen = look(one.data, found)
    if one.data is None:
        return seen
    surest = max(found, key=lambda face: face.score, default=None)
    lies, is_sure = gallery_upright.turned(one.window, surest, see)
    if lies and is_sure:  # the rest of what is said of it means nothing
        return Look(None, (lies,))
    if lies:
        seen = replace(seen, advice=(*seen.advice, f"perhaps {lies}"))
    if seen.face is None or seen.face.label != SPOOF:
        return seen
    if one.file is None:
        return replace(seen, refused=(*seen.refused, _HELD_UP))
    return replace(seen, advice=(*seen.advice, _HELD_UP))  # somebody chose this picture


def enough(shown: Iterable[Shown], told: Callable[[Shown], None]) -> list[Shown]:
    """A camera's pictures, each told at once, until there are five good ones that differ."""
    seen: list[Shown] = []
    good: list[Shown] = []
    for one in shown:
        is_old = one.is_taken and any(
            before.vector @ one.vector >= gallery_enrol.SAME_PICTURE for before in good
        )
        told(replace(one, refused="as before; move a little") if is_old else one)
        seen.append(one)
        if one.is_taken and not is_old:
            good.append(one)
        if len(good) == MOST_AT_ONCE:
            break
    return good or seen[-MOST_AT_ONCE:]


def to_keep(person: Person, pictures: Sequence[Shown], folder: Path) -> dict[Path, bytes]:
    """Where the pictures go that somebody was enrolled from: a folder by id, files by their hash.

    Raises:
        ConfigError: one cannot be read any more, or the folder not be made.
    """
    own = folder.absolute() / person.id
    try:
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = [gallery_pictures.as_file(one.taken) for one in pictures if one.is_taken]
    except OSError as error:
        raise ConfigError(f"--keep-pictures {folder}: {error.strerror}") from None
    return {own / f"{hashlib.sha256(raw).hexdigest()[:12]}{ending}": raw for raw, ending in files}


def keep(files: Mapping[Path, bytes]) -> None:
    """Write pictures, readable by nobody else.

    Raises:
        ConfigError: one cannot be written.
    """
    for file, raw in files.items():
        try:
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as opened:
                opened.write(raw)
        except OSError as error:
            raise ConfigError(f"{file}: enrolled, but not kept: {error.strerror}") from None


def _enrol(arguments: argparse.Namespace, place: Place, open_eye: Open) -> int:
    name = gallery.clean_name(arguments.name or arguments.rule_out)
    pipeline = place.pipeline
    served = place.base / pipeline.bundle if pipeline else _BUNDLE
    eye = open_eye(arguments.bundle or served, pipeline.engine if pipeline else None)
    shown = _shown(arguments, place, eye.see)
    with gallery_file.alone(place.gallery):
        made = _read_or_begin(place, eye)
        if arguments.rule_out:
            outcome = gallery_enrol.rule_out(name, shown, made, is_forced=arguments.force)
        else:
            consent = _consent(arguments, made.find(name), name)
            outcome = gallery_enrol.enrol(name, shown, made, consent, is_forced=arguments.force)
        if outcome.person is not None:
            person, files = outcome.person, {}
            if arguments.keep_pictures:
                files = to_keep(person, outcome.pictures, arguments.keep_pictures)
                kept = tuple(dict.fromkeys((*person.kept, *map(str, files))))
                person = msgspec.structs.replace(person, kept=kept)
            made = gallery.changed(made, person)
            gallery_file.write(place.gallery, made, place.key)
            keep(files)  # after it is noted where, so that forgetting finds them come what may
    _tell(arguments, gallery_say.outcome(outcome, made, place.gallery, _today()))
    return 0 if outcome.person else 1


def _shown(arguments: argparse.Namespace, place: Place, see: See) -> list[Shown]:
    if not arguments.camera:
        return list(show(gallery_pictures.in_folder(arguments.images), see))
    if place.pipeline is None:
        raise ConfigError("--camera: which one?; fix: --config FILE, whose source it is")
    source = sources.open_source(place.pipeline.source, name="enrol", base=place.base)

    def told(one: Shown) -> None:
        if not arguments.json:
            print(gallery_say.line(one), flush=True)  # noqa: T201

    return enough(show(gallery_pictures.of_camera(source), see), told)


def _change_consent(arguments: argparse.Namespace, place: Place) -> int:
    with gallery_file.alone(place.gallery):
        made = gallery_file.read(place.gallery, place.key)
        person = gallery_enrol.find(made, arguments.name)
        consent = _consent(arguments, person, person.name)
        person = msgspec.structs.replace(person, consent=consent)
        made = gallery.changed(made, person)
        gallery_file.write(place.gallery, made, place.key)
    changed = Outcome((), person)
    return _tell(arguments, gallery_say.outcome(changed, made, place.gallery, _today()))


def _consent(arguments: argparse.Namespace, person: Person | None, name: str) -> Consent:
    """What was agreed to before, with what is said now."""
    today = _today()
    before = person.consent if person else Consent(gallery.clean_name(name), "", today)
    said = {"by": arguments.by, "why": arguments.why, "until": arguments.until}
    said = {key: value for key, value in said.items() if value is not None}
    if said.get("until", today) < today:
        raise ConfigError(f"--until {said['until']}: has passed; fix: a day to come")
    if said and person:
        said["since"] = today
    return msgspec.structs.replace(before, **said)


def _forget(arguments: argparse.Namespace, place: Place) -> int:
    folders = [one for one in (place.state_dir,) if one is not None]
    with gallery_file.alone(place.gallery):
        made = gallery_file.read(place.gallery, place.key)
        people = (
            gallery_forget.expired(made, _today())
            if arguments.expired
            else [gallery_enrol.find(made, arguments.name)]
        )
        if not people:
            return _tell(arguments, ({"people": 0}, ["nobody's consent has expired"]))
        now = dt.datetime.now(dt.UTC).replace(microsecond=0)
        done = gallery_forget.forget(place.gallery, place.key, people, now=now, folders=folders)
    _tell(arguments, gallery_say.erased(done, place.gallery))
    return 1 if done.left else 0


def _list(arguments: argparse.Namespace, place: Place) -> int:
    made = gallery_file.read(place.gallery, place.key)
    return _tell(arguments, gallery_say.everybody(made, place.gallery, _today()))


def _tell(arguments: argparse.Namespace, said: Said) -> int:
    shown, lines = said
    print(json.dumps(shown) if arguments.json else "\n".join(lines), flush=True)  # noqa: T201
    return 0


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def open_bundle(path: Path, engine: str | None) -> Eye:
    """A bundle's stages, without what judges them.

    Raises:
        ConfigError: it is none of faces.
        BundleError: it is refused.
    """
    if importlib.util.find_spec("cv2") is None:
        raise ConfigError("OpenCV is not installed; fix: pip install 'vedette[edge-camera]'")
    bundle = Bundle.open(path, engine)
    workload = bundle.workload
    if not isinstance(workload.input, ImageSpec) or workload.learn is not None:
        raise ConfigError(f"--bundle {path}: {workload.name} enrols nobody; fix: one of faces")

    def see(window: Window) -> Detections:
        found: Detections = ()
        if workload.input.refuse(window) is None:
            for stage in workload.stages:
                found = run_stage(stage, bundle.engines.get(stage.name), window, found)
        return told_apart(found, least_live=least_live)

    point = bundle.manifest.operating_point
    least_live = point.scales.get("least_live", Rules.least_live)
    return Eye(bundle.model_id, point.threshold, see)


def _read_or_begin(place: Place, eye: Eye) -> Gallery:
    if place.gallery.exists():
        return gallery_file.read(place.gallery, place.key, model_id=eye.model_id)
    return gallery.begin(eye.model_id, same=eye.same)


def _place(arguments: argparse.Namespace) -> Place:
    """What the options and the config say together; the options have the last word."""
    pipeline, base, state_dir = None, Path(), None
    path, key = _GALLERY, gallery_file.read_key(arguments.key)
    if arguments.config is not None:
        device = config.read(arguments.config)
        base = arguments.config.parent
        state_dir = base / device.device.state_dir
        pipeline = _pipeline(device.pipeline, arguments)
        if pipeline.gallery:
            path = base / pipeline.gallery
        if key is None:
            setting = "pipeline.gallery_key"
            key = gallery_file.read_key(pipeline.gallery_key, base=base, key=setting)
    return Place(arguments.gallery or path, key, pipeline, base, state_dir)


def _pipeline(pipelines: list[PipelineConfig], arguments: argparse.Namespace) -> PipelineConfig:
    """The one named, or the only one that has a gallery."""
    names = [one.name for one in pipelines]
    if arguments.pipeline is not None:
        if arguments.pipeline not in names:
            known = ", ".join(names)
            raise ConfigError(f"--pipeline {arguments.pipeline}: not in the config; fix: {known}")
        return pipelines[names.index(arguments.pipeline)]
    enrolling = [one for one in pipelines if one.gallery]
    if len(enrolling) != 1:
        known = ", ".join(names)
        raise ConfigError(
            f"{arguments.config}: {len(enrolling)} pipelines have a gallery; fix: --pipeline, one "
            f"of {known}"
        )
    return enrolling[0]


def _parse(verb: str, argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        f"vedette {verb}",
        epilog=_ENROL if verb == "enrol" else _FORGET,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("name", nargs="?", metavar="NAME", help="what alerts say")
    add("--gallery", type=Path, metavar="FILE", help=f"default: the config's, or {_GALLERY}")
    add("--key", metavar="FILE", help="the site's key, that signs the gallery; default: none")
    add("--config", type=Path, metavar="FILE", help="the device's TOML file")
    add("--pipeline", help="of the config; needed where several have a gallery")
    add("--json", action="store_true", help="print a JSON object on stdout")
    if verb == "forget":
        add("--expired", action="store_true", help="all whose consent has ended")
        arguments = parser.parse_args(argv)
        if bool(arguments.name) == arguments.expired:
            parser.error("say NAME or --expired")
        return arguments
    add("--images", type=Path, metavar="DIR", help="folder of pictures, or one picture")
    add("--camera", action="store_true", help="look through the source of the config's pipeline")
    add("--bundle", type=Path, metavar="DIR", help=f"default: the config's, or {_BUNDLE}")
    add("--not", dest="rule_out", metavar="NAME", help="the pictures show somebody else")
    add("--by", metavar="WHO", help="who agreed to it; default: NAME")
    add("--why", metavar="TEXT", help="what it is for")
    add("--until", type=dt.date.fromisoformat, metavar="DATE", help="last day, YYYY-MM-DD")
    add("--keep-pictures", type=Path, metavar="DIR", help="keep those that were taken")
    add("--force", action="store_true", help="enrol although it looks like somebody else: twins")
    add("--list", action="store_true", help="everybody enrolled, and the consent register")
    arguments = parser.parse_args(argv)
    said = [bool(arguments.name), bool(arguments.rule_out), arguments.list]
    if sum(said) != 1:
        parser.error("say NAME, or --not NAME, or --list")
    if arguments.rule_out and arguments.keep_pictures:
        parser.error("--keep-pictures goes with NAME")
    has_pictures = bool(arguments.images) or arguments.camera
    is_about_consent = arguments.why or arguments.by or arguments.until
    if not (has_pictures or arguments.list or (arguments.name and is_about_consent)):
        parser.error("say --images DIR or --camera")
    return arguments
