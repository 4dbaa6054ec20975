"""Names that people would take for one another: the same to the eye, of other letters.

After "Unicode security mechanisms", Unicode Technical Standard 39: two names are confusable where
their skeletons are the same. Here with the Cyrillic and Greek letters that look like Latin ones,
and the digits that look like letters; full-width and other variants are folded by NFKC.
"""

from __future__ import annotations

import unicodedata

from contract.gallery import Gallery, GalleryError, folded

# Cyrillic, then Greek
_LATIN = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеѕіјорсухԁӏΑΒΕΖΗΙΚΜΝΟΡΤΥΧοναρικ",
    "ABESIJKMHOPCTYXaesijopcyxdlABEZHIKMNOPTYXovapik",
)
_ALIKE = str.maketrans("0I1|", "olll")


def check(name: str, made: Gallery) -> None:
    """Refuse a new name that shows nothing, or that looks like somebody's who is enrolled.

    Args:
        name: as `clean_name` gives it.
        made: everybody enrolled so far; the name is nobody's among them.

    Raises:
        GalleryError: it is refused.
    """
    if not any(letter.isalnum() for letter in name):
        raise GalleryError(f"{name!r} has neither letter nor digit; fix: a name that can be said")
    own = skeleton(name)
    for person in made.persons:
        if skeleton(person.name) == own:
            raise GalleryError(
                f"{name!r} looks like {person.name!r}, who is enrolled, but is of other letters; "
                f"fix: enrol as {person.name}, or by another name"
            )


def skeleton(name: str) -> str:
    """What is left of a name to the eye; no name itself."""
    return folded(unicodedata.normalize("NFKC", name).translate(_LATIN).translate(_ALIKE))
