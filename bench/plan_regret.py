"""Does the planner choose the deployment that measurements say is best? Agreement and regret on serving
sweeps.

    python bench/plan_regret.py --data SWEEPS.csv [--least 4] [--csv OUT.csv]

The data are measured rows as `tokcalc validate` reads them: TPOT and TTFT of closed loops over deployments.
For each (chip, model, weights, lengths) and speed per user, the best measured layout is the one with the
most output tokens per second and chip at that speed, read off its curve over the requests in flight
(log-linear between the points). The planner ranks the same layouts by its own search within the same range
of requests. Regret is the measured throughput that its choice gives away at that speed: 1 - chosen / best.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tokcalc.answers.setting import key_of, setting
from tokcalc.engines.constants import load_constants
from tokcalc.engines.engine import find_engine
from tokcalc.errors import TokcalcError
from tokcalc.explore.plan.choice import Limits, ranked, within
from tokcalc.explore.plan.search import Candidates, join, search
from tokcalc.physics.parallel import Plan
from tokcalc.validation.measured import read_rows
from tokcalc.validation.rows.inputs import assumed_values

SPEEDS = 8  # speeds per user tried in each group, evenly in the logarithm
KEYS = ["chip", "model", "weights", "isl", "osl"]
LAYOUT = ["engine", "tp", "pp", "dp", "ep"]


@dataclass(frozen=True)
class Curve:
    """One layout: measured speed per user and throughput per chip over its requests in flight, by rising
    speed.
    """

    layout: tuple[Any, ...]
    requests: np.ndarray
    speed: np.ndarray
    rate: np.ndarray

    def at(self, speed: float) -> float:
        """Throughput per chip at a speed per user: nan beyond the fastest point, the slowest point's below
        it.
        """
        if speed > self.speed[-1] * (1 + 1e-9):
            return float("nan")
        return float(np.exp(np.interp(np.log(speed), np.log(self.speed), np.log(self.rate))))


def curves(rows: pd.DataFrame) -> Iterator[tuple[tuple[Any, ...], list[Curve]]]:
    """(chip, model, weights, isl, osl) and its layouts; rows without drafts, of repeated runs the latest."""
    rows = rows[(rows["regime"] == "serving") & rows["metric"].isin(["tpot_ms", "ttft_ms"])]
    rows = rows[(rows["spec_decode"] == 0) & rows["concurrency"].notna()]
    rows = rows.assign(run=rows["id"].str.rsplit("-", n=1).str[0])
    index = ["run", *KEYS, *LAYOUT, "chips", "concurrency", "date", "nominal"]
    rows = rows.assign(nominal=rows["note"].fillna("").str.startswith("inferencex"))
    rows = rows.assign(**{name: rows[name].fillna(1) for name in ("pp", "dp", "ep")}).dropna(subset=["tp"])
    wide = rows.pivot_table(index=index, columns="metric", values="value", aggfunc="first").dropna().reset_index()
    wide = wide.sort_values("date").drop_duplicates([*KEYS, *LAYOUT, "concurrency"], keep="last")
    for key, part in wide.groupby(KEYS):
        found = []
        for layout, own in part.groupby(LAYOUT):
            scale = np.where(own["nominal"], assumed_values()["nominal_length"], 1.0)
            tpot, ttft, osl = own["tpot_ms"] / 1e3, own["ttft_ms"] / 1e3, own["osl"] * scale
            rate = own["concurrency"] * osl / (ttft + (osl - 1) * tpot) / own["chips"]
            order = np.argsort(1 / tpot.to_numpy())
            speed, rate = (1 / tpot).to_numpy()[order], rate.to_numpy(dtype=float)[order]
            rate = np.maximum.accumulate(rate[::-1])[::-1]  # a slower point is never chosen for less throughput
            found.append(Curve(tuple(layout), own["concurrency"].to_numpy(dtype=float)[order], speed, rate))
        yield (*key, bool(part["nominal"].iloc[0])), found


def predicted(key: tuple[Any, ...], found: list[Curve]) -> tuple[Candidates, np.ndarray]:
    """The planner's candidates for the measured layouts, and which curve each belongs to."""
    chip, model, weights, isl, osl, nominal = key
    scale = assumed_values()["nominal_length"] if nominal else 1.0
    parts, owners = [], []
    for place, curve in enumerate(found):
        engine, tp, pp, dp, ep = curve.layout
        try:
            find_engine(load_constants(), engine)
        except TokcalcError:
            engine = None
        s = setting(key_of({"chip": chip, "model": model, "weights": weights or None, "engine": engine}))
        low, high = curve.requests.min(), curve.requests.max()
        batches = np.unique(np.geomspace(low, high, 40).round())
        cut = Plan(float(tp), float(pp), float(dp), float(min(ep, tp * dp)))
        part = search(s, lengths=[(isl * scale, osl * scale)], batches=batches, cuts=[cut], most_chips=4096)
        parts.append(part)
        owners.append(np.full(len(part), place))
    return join(parts), np.concatenate(owners)


def judge(key: tuple[Any, ...], found: list[Curve]) -> Iterator[dict[str, Any]]:
    """One line per speed: the best layout measured, the planner's, the regret."""
    low = min(curve.speed[0] for curve in found)
    high = sorted(curve.speed[-1] for curve in found)[-2]  # at least two layouts reach it
    if not low < high:
        return
    candidates, owner = predicted(key, found)
    for speed in np.geomspace(low, high, SPEEDS):
        measured = np.array([curve.at(speed) for curve in found])
        if np.isfinite(measured).sum() < 2:
            continue
        good = within(candidates, Limits(tpot_s=1.0 / speed))
        order = ranked(candidates, good, "tokens-per-chip")
        # where the model reaches the speed with no layout, it still has a fastest one
        pick = order[0] if order.size else int(np.nanargmax(candidates["output_tok_s_user"]))
        place = int(owner[pick])
        best = int(np.nanargmax(measured))
        chosen = measured[place]
        yield {
            **dict(zip(KEYS, key[:-1], strict=True)), "layouts": len(found), "speed": speed,
            "best": "/".join(str(v) for v in found[best].layout),
            "chosen": "/".join(str(v) for v in found[place].layout),
            "agrees": place == best, "regret": 1.0 - chosen / measured[best] if np.isfinite(chosen) else 1.0,
            "reached": bool(np.isfinite(chosen)), "blind": float(1.0 - np.nanmean(measured) / measured[best]),
        }  # fmt: skip


def report(lines: pd.DataFrame, name: str) -> None:
    """Agreement and regret, over all speeds and as the median group."""
    if lines.empty:
        print(f"{name}: no groups")
        return
    groups = lines.groupby(KEYS)
    per_group = groups["regret"].median()
    reached = lines[lines["reached"]]
    print(
        f"{name}: {groups.ngroups} groups, {len(lines)} choices: agrees {lines['agrees'].mean():.0%}, "
        f"regret median {lines['regret'].median():.1%}, mean {lines['regret'].mean():.1%}, "
        f"90th percentile {lines['regret'].quantile(0.9):.1%}; median group {per_group.median():.1%}; "
        f"choice too slow for the speed {1 - len(reached) / len(lines):.0%}; "
        f"any layout that reaches it: mean {lines['blind'].mean():.1%}"
    )


def main() -> None:
    """Read, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, action="append")
    parser.add_argument("--least", type=int, default=4, help="layouts that a group needs")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    rows = read_rows(options.data)
    lines = []
    for key, found in curves(rows):
        if len(found) < 2:
            continue
        try:
            lines += list(judge(key, found))
        except TokcalcError as error:
            print(f"left out {key[:3]}: {error}")
    table = pd.DataFrame(lines)
    report(table[table["layouts"] >= options.least], f"groups with {options.least} layouts or more")
    report(table, "groups with 2 layouts or more")
    for chip, part in table[table["layouts"] >= options.least].groupby("chip"):
        report(part, f"  {chip}")
    if options.csv:
        table.to_csv(options.csv, index=False)


if __name__ == "__main__":
    main()
