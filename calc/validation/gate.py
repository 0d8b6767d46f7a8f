"""The gate of releases: errors by chip family, kept in a file, and what has become worse since.

The file is TOML, one table per family: median_ape, rows and predicted rows at the last release. A family fails when its
median error grows by more than a tenth, or when it predicts fewer rows than it did (a hard row left out would flatter
the median).
"""

from __future__ import annotations

import math
import tomllib
from pathlib import Path

import pandas as pd

from ..catalog.toml import write_toml
from ..errors import SpecError
from .judge import summarise

Expected = dict[str, dict[str, float]]
WORSE = 1.1
HEAD = """\
Median error of the packaged points by chip family at the last release; `validate --check` fails when one grows by more
than a tenth. Written by `tokcalc validate --write-expected FILE`."""


def write_expected(judged: pd.DataFrame, path: str | Path) -> None:
    """Write the errors of the judged rows by family as the new expectation."""
    families: Expected = {}
    for line in summarise(judged, ["family"]).to_dict("records"):
        median = {"median_ape": round(line["median_ape"], 4)} if math.isfinite(line["median_ape"]) else {}
        families[line["family"]] = {**median, "rows": int(line["n"]), "predicted": int(line["predicted"])}
    write_toml(path, HEAD, families)


def read_expected(path: str | Path) -> Expected:
    """family -> {"median_ape", "rows", "predicted"}; SpecError for a file that is not of this form."""
    path = Path(path)
    try:
        table: Expected = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror or error}; make it with --write-expected") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} is not valid TOML ({error}); make it anew with --write-expected") from None
    for family, entry in table.items():
        if not isinstance(entry, dict) or not all(
            type(value) in (int, float) and value >= 0 for value in entry.values()
        ):
            raise SpecError(f"{path}, table {family!r}, is not numbers of 0 or more; make it with --write-expected")
    return table


def failures(judged: pd.DataFrame, expected: Expected) -> list[str]:
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
