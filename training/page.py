"""Pages a person opens in a browser: one file each, nothing else needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

_TEMPLATES = Path(__file__).parent / "templates"


def write(file: Path, template: str, **values: Any) -> Path:
    """Fill a template of `templates/` and put it in place.

    Args:
        file: replaced in one step.
        template: its name.
        values: what it speaks of.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return replace(file, environment.get_template(template).render(**values))


def replace(file: Path, html: str) -> Path:
    """Put a finished page in place in one step."""
    temporary = file.with_suffix(".tmp")
    temporary.write_text(html, encoding="utf-8")
    return temporary.replace(file)
