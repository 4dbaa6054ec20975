"""The part of a run's report that compares the device's engines with the float model."""

from __future__ import annotations

from collections.abc import Mapping

import jinja2
import numpy as np
from markupsafe import Markup

from contract.manifest import Manifest
from contract.spec import Floats
from export.parity import FLOAT, Comparison
from training import figures

_POINTS = 20_000  # in the scatter; more make the page heavy and the picture no different
_PAGE = """
<h2>Parity</h2>
<p>The device's engines against the float model, on machines neither trained nor calibrated on,
judged at the exported operating point. A loss beyond the tolerance writes no bundle.</p>
<div class="tiles">
{% for name, bytes in sizes.items() %}<div class="tile"><b>{{ "{:,}".format(bytes) }}</b>
<span>bytes, {{ name }}</span></div>{% endfor %}
</div>
<table>
<tr><th>metric</th><th class="number">float</th>
{% for engine in engines %}<th class="number">{{ engine }} int8</th>
<th class="number">loss</th>{% endfor %}
<th class="number">tolerance</th><th></th></tr>
{% for metric, tolerance in tolerances.items() %}
<tr><td>{{ metric }}</td><td class="number">{{ "%.4f"|format(metrics["float"][metric]) }}</td>
{% for engine in engines %}<td class="number">{{ "%.4f"|format(metrics[engine][metric]) }}</td>
<td class="number">{{ "%+.4f"|format(losses[engine][metric]) }}</td>{% endfor %}
<td class="number">{{ "%.4f"|format(tolerance) }}</td>
<td>{% if passed[metric] %}<span class="ok">within</span>
{% else %}<span class="bad">beyond</span>{% endif %}</td></tr>
{% endfor %}
<tr><td>SQNR of the outputs, dB</td><td class="number"></td>
{% for engine in engines %}<td class="number">{{ "%.1f"|format(metrics[engine]["sqnr_db"]) }}</td>
<td></td>{% endfor %}<td></td><td></td></tr>
</table>
<figure>{{ scatter }}</figure>
"""


def render(compared: Comparison, sizes: Mapping[str, int]) -> Markup:
    """The parity section.

    Args:
        compared: float against every engine.
        sizes: bytes by name of file.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(_PAGE).render(
        engines=list(compared.losses),
        metrics=compared.metrics,
        losses=compared.losses,
        tolerances=compared.tolerances,
        passed={
            metric: all(losses[metric] <= allowed for losses in compared.losses.values())
            for metric, allowed in compared.tolerances.items()
        },
        sizes=sizes,
        scatter=_scatter(compared),
    )
    return Markup(page)  # noqa: S704 - rendered with autoescape


def sizes(made: Manifest) -> dict[str, int]:
    """Bytes of each model file of a bundle, and of the float models in it."""
    files = {
        f"{stage} {engine} int8": model.bytes
        for stage, models in made.stages.items()
        for engine, model in models.items()
    }
    floats = {f"{stage} tflite float": size for stage, size in made.float_bytes.items()}
    return floats | files


def _scatter(compared: Comparison) -> Markup:
    """Every output of every engine over the float model's, and how far off it is."""
    engines = list(compared.losses)
    pairs = [(stage, engine) for stage in compared.outputs for engine in engines]
    rows, columns = len(compared.outputs), 2 * len(engines)
    with figures.drawing(rows, columns, height=3.0 * rows, as_png=True) as (_, axes, made):
        for at, (stage, engine) in enumerate(pairs):
            exact, int8 = compared.outputs[stage][FLOAT], compared.outputs[stage][engine]
            left, right = axes.flat[2 * at], axes.flat[2 * at + 1]
            some = _some(exact)
            left.plot(exact[some], int8[some], ".", ms=1.6, alpha=0.35, color=figures.BLUE)
            ends = [float(exact.min()), float(exact.max())]
            left.plot(ends, ends, color=figures.ORANGE, lw=1)
            left.set(title=f"{stage}, {engine}", xlabel="float", ylabel="int8")
            right.hist(int8 - exact, 80, color=figures.BLUE)
            right.set(title="error", xlabel="int8 minus float", yticks=[])
    return made[0]


def _some(values: Floats) -> Floats:
    """Indices spread evenly over many values."""
    return np.linspace(0, len(values) - 1, min(_POINTS, len(values))).astype(int)
