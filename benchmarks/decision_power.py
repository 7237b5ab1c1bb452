"""How often the decision rule names a false winner, and how often it finds a planted slowdown.

    python -m benchmarks.decision_power [--repeats N]

Simulates matrices of trial medians (`tests/merge/simulate.py`) and puts them through `orchestrator.merge.compare`.
"""

from __future__ import annotations

import argparse

from orchestrator.merge.compare import FAMILY_ALPHA, MINIMUM_EFFECT
from tests.merge.simulate import Noise, Shape, rates

SHAPES = (
    Shape(cells=2, groups=1, trials=3), Shape(cells=2, groups=1, trials=5), Shape(cells=3, groups=3, trials=5),
    Shape(cells=5, groups=1, trials=5), Shape(cells=4, groups=4, trials=3), Shape(cells=4, groups=4, trials=5),
    Shape(cells=4, groups=16, trials=5), Shape(cells=4, groups=4, trials=20),
)
SIGMAS = (0.01, 0.02, 0.03, 0.08)
SLOWDOWN = 0.10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repeats", type=int, default=500, help="matrices per figure (default: 500)")
    repeats = parser.parse_args().repeats
    print(f"familywise level {FAMILY_ALPHA:.0%}, minimum effect {MINIMUM_EFFECT:.0%}, {repeats} matrices per figure")
    for slowdown, title in ((0.0, "matrices of equal backends with any false winner"),
                            (SLOWDOWN, f"matrices in which a backend {SLOWDOWN:.0%} slower was found slower than all others")):
        print(f"\n{title}, by noise of a trial's median")
        for noise in Noise:
            print(f"\n{noise.value}\n{'cells × groups, trials':28}{'comparisons':>12}" + "".join(f"{s:>9.0%}" for s in SIGMAS))
            for shape in SHAPES:
                found = [rates(shape, noise, sigma, slowdown=slowdown, repeats=repeats)[slowdown > 0] for sigma in SIGMAS]
                name = f"{shape.cells} × {shape.groups}, {shape.trials}"
                print(f"{name:28}{shape.comparisons:>12}" + "".join(f"{rate:>9.1%}" for rate in found), flush=True)


if __name__ == "__main__":
    main()
