"""How often the position audit raises an alarm without cause, and how often it finds a gradient.

`python -m benchmarks.position`: 20 randomised screens of the simulator, seeds no choice has seen, all scores and the
label; and the same screens with a linear, a bowl-shaped or an edge pattern of R² .15 in one score. Components of the
simulated expression are no part: they hold plate and batch effects that the simulator puts there.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tcell_assets.science.plates.audit_variables import audited_targets
from tcell_assets.science.plates.plate_geometry import row_number
from tcell_assets.science.plates.position import position_audit, worst_verdict
from tcell_assets.science.simulation.screen_simulation import SimulationSettings, simulate_screen

SEEDS = range(301, 321)
PLANTED_R2 = 0.15


def patterns(wells: pd.DataFrame) -> dict[str, np.ndarray]:
    """Patterns over a plate, each of mean 0 and variance 1."""
    row = wells["row"].map(row_number).to_numpy(float)
    column = wells["column"].to_numpy(float)
    row, column = row - row.mean(), column - column.mean()
    found = {
        "linear": 0.6 * row / row.std() + 0.8 * column / column.std(),
        "bowl": row**2 / row.var() + column**2 / column.var(),
        "edge": wells["is_edge"].to_numpy(float),
    }
    return {name: (pattern - pattern.mean()) / pattern.std() for name, pattern in found.items()}


def main() -> None:
    """Print the rates."""
    alarms: list[str] = []
    found = dict.fromkeys(("linear", "bowl", "edge"), 0)
    by_fit = dict.fromkeys(found, 0)
    for seed in SEEDS:
        screen = simulate_screen(SimulationSettings(n_genes=64, seed=seed))
        audit = position_audit(audited_targets(screen.wells), screen.wells)
        if worst_verdict(audit) != "ok":
            alarms += [
                f"{seed} {row['variable']} R² {row['r2']:.2f} Moran's p {row['morans_p']:.3f}"
                for row in audit[audit["verdict"] != "ok"].to_dict("records")
            ]
        score = screen.wells.set_index("well_id")["tscore"]
        for name, pattern in patterns(screen.wells).items():
            strength = np.sqrt(PLANTED_R2 / (1 - PLANTED_R2)) * score.std()
            planted = (score + strength * pattern).to_frame("tscore")
            row = position_audit(planted, screen.wells).iloc[0]
            found[name] += row["verdict"] != "ok"
            by_fit[name] += row["r2"] > 0.1
    screens = len(SEEDS)
    false = len({alarm.split()[0] for alarm in alarms})
    print(f"randomised screens with an alarm: {false} of {screens} {alarms}")
    for name, count in found.items():
        print(f"{name} pattern of R² {PLANTED_R2} found: {count} of {screens}, {by_fit[name]} by R² alone")


if __name__ == "__main__":
    main()
