"""The gate of releases: errors by chip family, kept in a file, and what has become worse since.

Stands after `validate`. The file is TOML, one table per family: median_ape, rows and predicted rows at the
last release. A family fails when its median error grows by more than a tenth, or when it predicts fewer
rows than it did (a hard row left out would flatter the median).
"""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SpecError
from .judge import summarise, write_text

if TYPE_CHECKING:
    import pandas as pd

WORSE = 1.1
HEADER = """# Median error of the packaged points by chip family at the last release; `validate --check` fails
# when one grows by more than a tenth. Written by `tokcalc validate --write-expected FILE`.
"""


def write_expected(judged: pd.DataFrame, path: str | Path) -> None:
    """Write the errors of the judged rows by family as the new expectation."""
    parts = [HEADER]
    for line in summarise(judged, ["family"]).to_dict("records"):
        median = line["median_ape"]
        parts.append(f'\n["{line["family"]}"]\n')
        if math.isfinite(median):
            parts.append(f"median_ape = {median:.4f}\n")
        parts.append(f"rows = {line['n']:.0f}\npredicted = {line['predicted']:.0f}\n")
    write_text(path, "".join(parts))


def read_expected(path: str | Path) -> dict[str, dict[str, float]]:
    """family -> {"median_ape", "rows", "predicted"}; SpecError for a file that is not of this form."""
    path = Path(path)
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror or error}; make it with --write-expected") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} is not valid TOML ({error}); make it anew with --write-expected") from None
    for family, entry in table.items():
        good = isinstance(entry, dict) and all(
            isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 for value in entry.values()
        )
        if not good:
            raise SpecError(f"{path}, table {family!r}, is not numbers of 0 or more; make it with --write-expected")
    return table


def failures(judged: pd.DataFrame, expected: dict[str, dict[str, float]]) -> list[str]:
    """One sentence for each family that is worse than expected; empty when all hold."""
    now = {line["family"]: line for line in summarise(judged, ["family"]).to_dict("records")}
    found = []
    for family, entry in expected.items():
        line = now.get(family)
        if line is None:
            found.append(f"{family}: no rows are left of {entry.get('rows', 0):.0f}")
            continue
        if line["predicted"] < entry.get("predicted", 0):
            found.append(f"{family}: {line['predicted']:.0f} rows predicted, {entry['predicted']:.0f} before")
        before = entry.get("median_ape")
        # Half of the last printed digit, so that a file just written never fails its own rows.
        if before is not None and line["median_ape"] > before * WORSE + 5e-5:
            found.append(f"{family}: median error {line['median_ape']:.1%}, {before:.1%} at the last release")
    return found
