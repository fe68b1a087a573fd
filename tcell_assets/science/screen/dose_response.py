"""Dose–response of compounds: a log-logistic curve against a constant, its EC50 and how sure that is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import optimize, stats

FEWEST_DOSES = 3
# A four-parameter curve on as many wells fits anything.
FEWEST_WELLS_BEYOND_PARAMETERS = 1
# Hill slopes met in cell assays; steeper ones only say that two doses lie on both sides.
SLOPES = (0.3, 6.0)
# What a step function must explain beyond the curve before it replaces it: near-exact data are misfit by rounding.
SHARE_WORTH_A_STEP_FUNCTION = 0.02
# EC50 is looked for this many decades beyond the doses, and said to be "not reached" there.
DECADES_BEYOND = 1.0

Response = Literal["response", "no response", "not reached", "not monotone"]
Fit = Literal["log_logistic", "isotonic"]


@dataclass(frozen=True)
class DoseResponseRule:
    """When a dose series is called a response.

    Attributes:
        level: p of the F-test against a constant below which a series responds. Of flat series of 6 doses × 3 wells
            1 in 100 is then called, well below the promised 1 in 20.
        interval_level: Of the profile interval of the EC50.
    """

    level: float = 0.01
    interval_level: float = 0.95

    def __post_init__(self) -> None:
        for name in ("level", "interval_level"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {getattr(self, name)}")


@dataclass(frozen=True)
class DoseCurve:
    """A fitted series; doses in the unit they were given in.

    Attributes:
        response: `response`; `no response` where a constant serves as well; `not reached` where the half-way dose lies
            outside the doses, so that there is no `ec50`; `not monotone` where doses differ but no curve that only
            rises or only falls explains it.
        fit: `isotonic` where the log-logistic curve misses the dose means by more than the wells scatter and a
            monotone step function comes nearer: `ec50` is then read off its half-way point, without an interval.
        bottom: Activity without dose.
        top: Activity at saturation.
        ec50: Dose of half the change, NaN without a response.
        ec50_low: Lower end of its profile interval, NaN where the interval is open.
        ec50_high: Upper end.
        slope: Hill slope, NaN without a response.
        p: Of the F-test of the curve against a constant.
        r2: Share of the wells' variance that the curve explains.
        n_doses: Different doses.
        n_wells: Wells.
    """

    response: Response
    fit: Fit
    bottom: float
    top: float
    ec50: float
    ec50_low: float
    ec50_high: float
    slope: float
    p: float
    r2: float
    n_doses: int
    n_wells: int


def log_logistic(dose: np.ndarray, bottom: float, top: float, ec50: float, slope: float) -> np.ndarray:
    """Bottom + (top − bottom)/(1 + (ec50/dose)^slope), the four-parameter log-logistic (Hill) curve; dose > 0."""
    exponent = np.clip(slope * (np.log(ec50) - np.log(dose)), -700.0, 700.0)
    return np.asarray(bottom + (top - bottom) / (1.0 + np.exp(exponent)))


def fit_dose_response(
    dose: np.ndarray, activity: np.ndarray, rule: DoseResponseRule | None = None
) -> DoseCurve | None:
    """Fit one compound's series.

    For a given EC50 and slope the curve is linear in bottom and top, so these two are solved exactly and only the other
    two are searched, from a grid (Ritz et al. 2015, Dose-response analysis using R, PLoS ONE 10: e0146021, for the
    model; the profile interval keeps what an F-test at its level does not refuse).

    Args:
        dose: (wells,), positive, in one unit.
        activity: (wells,), finite.
        rule: Levels, by default `DoseResponseRule()`.

    Returns:
        The curve, or None where fewer than 3 different doses or too few wells leave nothing to judge.

    Raises:
        ValueError: A dose is not positive, or a value is not finite.
    """
    rule = rule or DoseResponseRule()
    dose, activity = np.asarray(dose, dtype=np.float64), np.asarray(activity, dtype=np.float64)
    if not (np.isfinite(dose).all() and (dose > 0).all()):
        raise ValueError("dose-response: doses must be positive numbers; wells without a dose are controls")
    if not np.isfinite(activity).all():
        raise ValueError("dose-response: an activity is not finite")
    n_doses = len(np.unique(dose))
    free = len(dose) - 4
    if n_doses < FEWEST_DOSES or free < FEWEST_WELLS_BEYOND_PARAMETERS:
        return None
    log_dose = np.log(dose)
    constant = float(((activity - activity.mean()) ** 2).sum())
    search = _Search(log_dose, activity)
    best, (log_ec50, slope) = search.minimum()
    bottom, top = search.ends(log_ec50, slope)
    p = _f_test(constant, best, 3, free)
    r2 = 1.0 - best / constant if constant > 0 else 0.0
    sizes = (n_doses, len(dose))
    unknown = float("nan")
    groups = _DoseMeans(log_dose, activity)
    if not p < rule.level:
        differ = groups.p_of_any_difference(constant) < rule.level
        flat = float(activity.mean())
        response: Response = "not monotone" if differ else "no response"
        return DoseCurve(
            response, "log_logistic", flat, flat, unknown, unknown, unknown, unknown, p, r2, *sizes
        )
    steps = groups.isotonic()
    nearer = best - steps.squares > SHARE_WORTH_A_STEP_FUNCTION * constant
    if groups.p_of_misfit(best) < rule.level and nearer:
        ec50 = steps.half_way()
        r2 = 1.0 - steps.squares / constant
        return DoseCurve(
            "response", "isotonic", steps.first, steps.last, ec50, unknown, unknown, unknown, p, r2, *sizes
        )
    low, high = search.profile_interval(best, log_ec50, free, rule.interval_level)
    if not log_dose.min() <= log_ec50 <= log_dose.max():
        return DoseCurve("not reached", "log_logistic", bottom, top, unknown, low, high, slope, p, r2, *sizes)
    return DoseCurve(
        "response", "log_logistic", bottom, top, float(np.exp(log_ec50)), low, high, slope, p, r2, *sizes
    )


class _Search:
    """Least squares of the log-logistic curve over EC50 and slope, the two ends solved exactly."""

    def __init__(self, log_dose: np.ndarray, activity: np.ndarray) -> None:
        self._log_dose, self._activity = log_dose, activity
        margin = DECADES_BEYOND * np.log(10.0)
        self.bounds = (log_dose.min() - margin, log_dose.max() + margin)

    def _rise(self, log_ec50: float, slope: float) -> np.ndarray:
        exponent = np.clip(slope * (log_ec50 - self._log_dose), -700.0, 700.0)
        return np.asarray(1.0 / (1.0 + np.exp(exponent)))

    def ends(self, log_ec50: float, slope: float) -> tuple[float, float]:
        """Bottom and top that fit best."""
        rise = self._rise(log_ec50, slope)
        centred = rise - rise.mean()
        spread = float(centred @ centred)
        change = float(centred @ self._activity) / spread if spread > 1e-12 else 0.0
        bottom = float(self._activity.mean() - change * rise.mean())
        return bottom, bottom + change

    def _residual(self, log_ec50: float, slope: float) -> np.ndarray:
        bottom, top = self.ends(log_ec50, slope)
        return np.asarray(self._activity - bottom - (top - bottom) * self._rise(log_ec50, slope))

    def squares(self, log_ec50: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """What (n,) pairs of EC50 and slope leave unexplained."""
        exponent = np.clip(slope[:, None] * (log_ec50[:, None] - self._log_dose), -700.0, 700.0)
        rise = 1.0 / (1.0 + np.exp(exponent))
        rise -= rise.mean(axis=1, keepdims=True)
        activity = self._activity - self._activity.mean()
        spread = np.einsum("nw,nw->n", rise, rise)
        explained = np.where(spread > 1e-12, (rise @ activity) ** 2 / np.maximum(spread, 1e-12), 0.0)
        return np.asarray(activity @ activity - explained)

    def minimum(self) -> tuple[float, tuple[float, float]]:
        """Least sum of squares, and the log EC50 and slope that give it."""
        log_ec50, slope = (
            axis.ravel() for axis in np.meshgrid(np.linspace(*self.bounds, 25), np.geomspace(*SLOPES, 7))
        )
        start = int(np.argmin(self.squares(log_ec50, slope)))
        lower, upper = (self.bounds[0], np.log(SLOPES[0])), (self.bounds[1], np.log(SLOPES[1]))
        found = optimize.least_squares(
            lambda at: self._residual(at[0], float(np.exp(at[1]))),
            # A start on a bound would be refused.
            x0=np.clip(
                (log_ec50[start], np.log(slope[start])), np.add(lower, 1e-6), np.subtract(upper, 1e-6)
            ),
            bounds=(lower, upper),
        )
        return 2.0 * float(found.cost), (float(found.x[0]), float(np.exp(found.x[1])))

    def profile_interval(self, best: float, log_ec50: float, free: int, level: float) -> tuple[float, float]:
        """Ends of the EC50s whose best curve an F-test does not refuse; NaN where that side is open."""
        allowed = best * (1.0 + float(stats.f.ppf(level, 1, free)) / free)
        slopes = np.geomspace(*SLOPES, 15)

        def excess(at: float) -> float:
            return float(self.squares(np.full(len(slopes), at), slopes).min()) - allowed

        ends = []
        for bound in self.bounds:
            steps = np.linspace(log_ec50, bound, 20)[1:]
            refused = next((step for step in steps if excess(step) > 0), None)
            if refused is None:
                ends.append(float("nan"))
                continue
            inside = log_ec50 if refused == steps[0] else refused - (steps[0] - log_ec50)
            if excess(inside) > 0:
                # The grid of slopes is a shade above the exact minimum: the interval is narrower than its step.
                ends.append(float(np.exp(log_ec50)))
                continue
            ends.append(float(np.exp(optimize.brentq(excess, inside, refused, xtol=1e-4))))
        return ends[0], ends[1]


def _f_test(constant: float, curve: float, parameters: int, free: int) -> float:
    if constant <= 0:
        return 1.0
    if curve <= 0:
        return 0.0
    return float(stats.f.sf(max(constant - curve, 0.0) / parameters / (curve / free), parameters, free))


@dataclass(frozen=True, eq=False)
class _Steps:
    """A monotone step function through the dose means."""

    log_doses: np.ndarray
    values: np.ndarray
    squares: float

    @property
    def first(self) -> float:
        return float(self.values[0])

    @property
    def last(self) -> float:
        return float(self.values[-1])

    def half_way(self) -> float:
        """Dose at which the line through the steps, over log dose, is half-way between first and last."""
        rising = self.values if self.last >= self.first else -self.values
        return float(np.exp(np.interp((rising[0] + rising[-1]) / 2.0, rising, self.log_doses)))


class _DoseMeans:
    """The means of the doses and the scatter of wells about them."""

    def __init__(self, log_dose: np.ndarray, activity: np.ndarray) -> None:
        self._activity = activity
        self._doses, self._of_well = np.unique(log_dose, return_inverse=True)
        self._n = np.bincount(self._of_well)
        self._means = np.bincount(self._of_well, activity) / self._n
        self._scatter = float(((activity - self._means[self._of_well]) ** 2).sum())
        self._free = len(activity) - len(self._doses)

    def p_of_any_difference(self, constant: float) -> float:
        """F-test of the dose means against a constant; 1 without replicates."""
        return _f_test(constant, self._scatter, len(self._doses) - 1, self._free) if self._free > 0 else 1.0

    def p_of_misfit(self, curve: float) -> float:
        """F-test of lack of fit of a four-parameter curve; 1 where replicates or doses do not allow one."""
        more = len(self._doses) - 4
        return _f_test(curve, self._scatter, more, self._free) if self._free > 0 and more > 0 else 1.0

    def isotonic(self) -> _Steps:
        """The better of the rising and the falling isotonic regression."""
        candidates = []
        for increasing in (True, False):
            fitted = optimize.isotonic_regression(
                self._means, weights=self._n.astype(np.float64), increasing=increasing
            ).x
            squares = float(((self._activity - fitted[self._of_well]) ** 2).sum())
            candidates.append(_Steps(self._doses, fitted, squares))
        return min(candidates, key=lambda steps: steps.squares)


def activity_along_own_direction(displacement: np.ndarray, dose: np.ndarray) -> np.ndarray:
    """How far every well of a compound goes along the compound's own direction, the well itself left out of it.

    The direction is the mean displacement of the wells of the two highest doses, to length 1; a well of these doses is
    projected on the direction of the others, so that its own noise does not count as activity. First the signature,
    then the fit: that order agreed best with assays in the comparison of the United States Environmental Protection
    Agency (Harrill et al. 2021, Toxicological Sciences 181: 68–89).

    Args:
        displacement: (wells, features): expression or components minus the DMSO mean of the plate.
        dose: (wells,).

    Returns:
        (wells,) activities in the unit of the displacement; NaN where no other well of the highest doses is left.
    """
    highest = np.sort(np.unique(dose))[-2:]
    at_top = np.isin(dose, highest)
    total, count = displacement[at_top].sum(axis=0), int(at_top.sum())
    activity = np.full(len(dose), np.nan)
    for well in range(len(dose)):
        left = count - int(at_top[well])
        if not left:
            continue
        direction = (total - displacement[well] if at_top[well] else total) / left
        length = float(np.linalg.norm(direction))
        activity[well] = float(displacement[well] @ direction) / length if length > 0 else 0.0
    return activity


def fit_compounds(activity: pd.DataFrame, rule: DoseResponseRule | None = None) -> pd.DataFrame:
    """Fit every compound's series of every measure.

    Args:
        activity: A row a well and measure: `compound, measure, dose_um, activity`; rows without a dose or an
            activity are left out.
        rule: Levels.

    Returns:
        `compound, measure`, the fields of `DoseCurve` and `dose_means`, JSON of `[dose, mean activity, wells]` by
        rising dose, for compounds with at least 3 doses.
    """
    known = activity[activity["dose_um"].notna() & (activity["dose_um"] > 0) & activity["activity"].notna()]
    rows = []
    for (compound, measure), series in known.groupby(["compound", "measure"], sort=True):
        curve = fit_dose_response(series["dose_um"].to_numpy(), series["activity"].to_numpy(), rule)
        if curve is not None:
            means = series.groupby("dose_um")["activity"].agg(["mean", "size"])
            points = [[float(dose), float(mean), int(size)] for dose, mean, size in means.itertuples()]
            rows.append(
                {
                    "compound": compound,
                    "measure": measure,
                    **vars(curve),
                    "dose_means": json.dumps(points),
                }
            )
    names = ["compound", "measure", *DoseCurve.__dataclass_fields__, "dose_means"]
    return pd.DataFrame(rows, columns=names)
