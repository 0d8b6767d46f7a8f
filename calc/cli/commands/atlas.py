"""`tokcalc atlas`: the Pareto fronts of every chip with every model, in one file and one plot."""

from __future__ import annotations

import time
from typing import Any

from ...catalog import find_id
from ...errors import UsageError
from ...explore.atlas import Atlas, model_rows, standing, write_atlas
from ...explore.atlas import atlas as draw
from ...report.plots import pareto, pareto_pair
from .. import options as o
from .. import text, values
from ..output import Drawn, tell
from ..progress import Line
from ..table import Column, item, tabulate

SERIES = 7  # chips with a line of their own in the plot; the others share one
SHOWN = 15
_COLUMNS = (
    Column("chip", 100, False, item("chip")),
    Column("throughput", 90, cell=item("front_throughput", "{:,}".format)),
    Column("cost", 80, cell=item("front_cost", "{:,}".format)),
)


class Over(o.Pair):
    """What the atlas is of."""

    lengths: str = o.question("1024/1024,8192/1024,1024/8192,65536/1024", "Input and output lengths.", "IN/OUT[,...]")
    kv: o.Text = o.KV


class Files(Drawn):
    """Where it goes."""

    plot_model: str = o.output("llama-3.3-70b", "Model of the plot.", "NAME")
    jobs: o.Whole = o.output(None, "Processes; else one a core.", "N")


def atlas(over: Over, price: o.Price, out: Files) -> None:
    """Evaluate every sensible deployment of every model on every chip and keep what no other beats."""
    pairs = _lengths(over.lengths)
    out.check()
    chips = None if over.chip is None else over.chips()
    models = None if over.model is None else over.models()
    pictured = find_id("models", out.plot_model)
    if out.plot is not None and models is not None and pictured not in (find_id("models", m) for m in models):
        pictured = find_id("models", models[0])
    jobs = values.number_of("--jobs", out.jobs, 1024)
    began = time.monotonic()
    with Line("chips") as bar:
        found = draw(chips, models, lengths=pairs, jobs=jobs, progress=bar, kv=over.kv, **price.keywords())
    took = time.monotonic() - began
    for path in out.export or []:
        write_atlas(found, path)
        tell(f"wrote {path}: {len(found):,} rows")
    out.draw(lambda: chart(found, pictured, pairs[0]))
    rows = standing(found)
    out.show(rows, lambda width: _page(found, rows, (took, len(pairs)), width))


def _page(found: Atlas, rows: list[dict[str, Any]], run: tuple[float, int], width: int) -> list[str]:
    models = len(set(found.columns["model"]))
    head = (
        f"{found.cases:,} deployments of {models} models evaluated in {text.seconds(run[0])}, "
        f"{found.fitting:,} fit; {len(found):,} are on the front of their chip, "
        f"{found.skipped:,} pairs of chip and model fit nowhere."
    )
    said = f"Of the {models * run[1]:,} fronts over all chips (a model and a pair of lengths), these stand on most:"
    return [*text.wrap(head, width), "", *text.wrap(said, width), "", tabulate(_COLUMNS, rows[:SHOWN], width)]


def chart(found: Atlas, model: str, pair: tuple[float, float]) -> Any:
    """Fronts of one model at one pair of lengths: the chips on the front over all, and the best of the others."""
    rows = model_rows(found, model, *pair)
    if not rows:
        raise UsageError(f"no chip of this atlas holds {model}; choose another --plot-model")
    points: dict[str, int] = {}
    for row in rows:
        points[row["chip"]] = points.get(row["chip"], 0) + int(row["front_throughput"]) + int(row["front_cost"])
    leading = sorted((chip for chip in points if points[chip]), key=lambda chip: -points[chip])[:SERIES]
    others = f"best of {len(points) - len(leading)} others"
    shown = []
    for row in sorted(rows, key=lambda row: row["chip"] not in leading):
        ahead, chip = row["chip"] in leading, row["chip"]
        named = {
            "chip": f"{chip} (grade {row['grade']})" if ahead else others,
            "label": "" if ahead else f"{chip}, {row['chips']:.0f} chips",
        }
        shown.append(named | {n: row[n] for n in ("output_tok_s_user", "output_tok_s_chip", "per_m_blended")})
    title = f"{model}, {pair[0]:,.0f} tokens in, {pair[1]:,.0f} out: fronts of {len(points)} chips"
    priced = [row for row in shown if row["per_m_blended"] == row["per_m_blended"]]
    if priced:
        return pareto_pair(priced, cost="per_m_blended", title=title, currency=found.currency)
    return pareto(shown, title=title)


def _lengths(words: str) -> list[tuple[float, float]]:
    pairs = []
    for word in words.split(","):
        first, slash, last = word.strip().partition("/")
        if not slash:
            raise UsageError(f"--lengths {word!r} is no pair; write input/output, such as 1k/1k,8k/1k")
        pairs.append((float(values.length("--lengths", first)), float(values.length("--lengths", last))))
    return list(dict.fromkeys(pairs))
