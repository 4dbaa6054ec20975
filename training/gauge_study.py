"""How much of what is measured is the gauge: a crossed gauge R&R study by analysis of variance.

Every operator measures every part the same number of times. AIAG, "Measurement Systems Analysis",
4th edition, 2010, chapter III section B, ANOVA method; both operators and parts are random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from contract.spec import Array
from training.datasets import DataError

# Above it the interaction is taken for chance and pooled with repeatability. The manual asks for a
# high level, so that an interaction is not overlooked.
POOLED_ABOVE = 0.25
SPREAD = 6.0  # standard deviations that a study variation spans
GOOD, BEARABLE = 10.0, 30.0  # % of the study variation
LEAST_CATEGORIES = 5
_CATEGORIES = 1.41  # times part over gauge


@dataclass(frozen=True)
class Line:
    """One line of the analysis of variance: sum of squares, degrees of freedom, mean square."""

    squares: float
    freedom: int

    @property
    def mean(self) -> float:
        """Mean square."""
        return self.squares / self.freedom


@dataclass(frozen=True)
class Study:
    """What a study found; all standard deviations are in the unit of the values.

    Attributes:
        operators, parts, interaction, repeats: lines of the analysis of variance.
        f_interaction: how much larger the interaction is than chance.
        p_interaction: how often chance alone would give as much.
        is_pooled: whether the interaction was taken for chance.
        ev: equipment variation: repeatability.
        av: appraiser variation: reproducibility, without the interaction.
        interacting: operators who measure some parts otherwise; 0 where pooled.
        pv: part variation.
    """

    operators: Line
    parts: Line
    interaction: Line
    repeats: Line
    f_interaction: float
    p_interaction: float
    is_pooled: bool
    ev: float
    av: float
    interacting: float
    pv: float

    @property
    def grr(self) -> float:
        """The gauge: repeatability and reproducibility together."""
        return float(np.hypot(np.hypot(self.ev, self.av), self.interacting))

    @property
    def tv(self) -> float:
        """Total variation."""
        return float(np.hypot(self.grr, self.pv))

    @property
    def categories(self) -> int:
        """Number of distinct categories of parts that the gauge can tell."""
        return int(_CATEGORIES * self.pv / self.grr) if self.grr > 0 else 10**6

    def study_percent(self, deviation: float) -> float:
        """Of the study variation."""
        return 100.0 * deviation / self.tv

    @property
    def is_good(self) -> bool:
        """Whether the gauge may be trusted without a reservation."""
        return self.study_percent(self.grr) < GOOD and self.categories >= LEAST_CATEGORIES

    @property
    def verdict(self) -> str:
        """In plain words."""
        percent = self.study_percent(self.grr)
        if self.is_good:
            return "the gauge is good enough"
        if percent > BEARABLE:
            return f"the gauge is not good enough: more than {BEARABLE:.0f} % of the variation"
        if self.categories < LEAST_CATEGORIES:
            return (
                f"the gauge tells {self.categories} kinds of parts only, at least "
                f"{LEAST_CATEGORIES} are needed; or the parts were too much alike"
            )
        return f"the gauge is bearable: {GOOD:.0f} to {BEARABLE:.0f} % of the variation"


def study(values: Array) -> Study:
    """Analyse a crossed study.

    Args:
        values: (parts, operators, repeats) float64, at least two of each.

    Raises:
        DataError: too few, or all values are one.
    """
    if values.ndim != 3 or min(values.shape) < 2:
        shape = " x ".join(str(n) for n in values.shape)
        raise DataError(
            f"gauge study of {shape} (parts x operators x repeats): too few; fix: at least two of "
            "each, better 10 x 3 x 3"
        )
    if np.ptp(values) == 0.0:
        raise DataError("gauge study: all values are the same; fix: parts that differ")
    parts, operators, repeats = values.shape
    mean = values.mean()
    of_part, of_operator, cells = values.mean((1, 2)), values.mean((0, 2)), values.mean(2)
    by_part = Line(_squares(of_part - mean) * operators * repeats, parts - 1)
    by_operator = Line(_squares(of_operator - mean) * parts * repeats, operators - 1)
    crossed = cells - of_part[:, None] - of_operator + mean
    interaction = Line(_squares(crossed) * repeats, (parts - 1) * (operators - 1))
    within = Line(_squares(values - cells[:, :, None]), parts * operators * (repeats - 1))
    if within.squares > 0.0:
        from scipy.stats import f as f_distribution

        f = interaction.mean / within.mean
        p = float(f_distribution.sf(f, interaction.freedom, within.freedom))
    else:  # nobody's repeats differ, so chance explains nothing
        f, p = (float("inf"), 0.0) if interaction.squares > 0.0 else (0.0, 1.0)
    is_pooled = p > POOLED_ABOVE
    chance = interaction
    if is_pooled:
        squares, freedom = (
            within.squares + interaction.squares,
            within.freedom + interaction.freedom,
        )
        chance = Line(squares, freedom)
        equipment, crossing = chance.mean, 0.0
    else:
        equipment = within.mean
        crossing = max((interaction.mean - within.mean) / repeats, 0.0)
    appraiser = max((by_operator.mean - chance.mean) / (parts * repeats), 0.0)
    part = max((by_part.mean - chance.mean) / (operators * repeats), 0.0)
    deviations = [float(np.sqrt(one)) for one in (equipment, appraiser, crossing, part)]
    return Study(by_operator, by_part, interaction, within, f, p, is_pooled, *deviations)


def table(rows: Sequence[tuple[str, str, str, float]]) -> tuple[list[str], list[str], Array]:
    """Names of parts and operators, in order of their first row, and the values they measured.

    Args:
        rows: part, operator, repeat, value.

    Returns:
        parts, operators, (parts, operators, repeats) float64.

    Raises:
        DataError: an operator did not measure a part as often as others did, or twice as the same.
    """
    parts = list(dict.fromkeys(part for part, *_ in rows))
    operators = list(dict.fromkeys(operator for _, operator, *_ in rows))
    found: dict[tuple[str, str], dict[str, float]] = {}
    for part, operator, repeat, value in rows:
        of_cell = found.setdefault((part, operator), {})
        if repeat in of_cell:
            raise DataError(
                f"part {part}, operator {operator}: repeat {repeat} stands twice; fix: number the "
                "repeats"
            )
        of_cell[repeat] = value
    most = max((len(of_cell) for of_cell in found.values()), default=0)
    for part in parts:
        for operator in operators:
            count = len(found.get((part, operator), {}))
            if count < most:
                raise DataError(
                    f"part {part}, operator {operator}: measured {count} times, others {most}; fix:"
                    " every operator measures every part as often"
                )
    values = [[list(found[part, operator].values()) for operator in operators] for part in parts]
    return parts, operators, np.array(values, np.float64)


def _squares(away: Array) -> float:
    return float(np.square(away).sum())
