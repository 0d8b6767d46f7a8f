"""`tokcalc memory`: generations of memory listed, compared for a model, or put into a chip one after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from .. import listing, text, values
from .. import options as o
from ..output import Drawn, tell
from ..table import Column, item, tabulate

if TYPE_CHECKING:
    from ...hardware.memory import MemoryGeneration

_FAMILIES = ("lpddr", "gddr", "hbm", "ddr")


class Which(listing.Filters):
    """Which generations, and what they are compared for."""

    kind: o.Text = o.option(None, "hbm, gddr, lpddr, ddr.", "KIND")
    model: o.Text = o.option(None, "Compare them for this model.", "NAME")
    chip: o.Text = o.option(None, "Put each into this chip, stack for stack.", "NAME")
    weights: o.Text = o.WEIGHTS
    context: str = o.option("2048", "Tokens in the cache.", "N")
    concurrency: str = o.option("1", "With --chip: requests in flight.", "N|max")
    chips: o.Whole = o.option(None, "With --chip: this many; default: the fewest.", "N")


def memory(which: Which, out: Drawn) -> None:
    """List the memory generations; with --model compare them, with --chip put each into a chip."""
    from ...catalog import load_memory, load_model

    chip, model, weights = which.chip, which.model, which.weights
    if chip is not None and model is None:
        raise UsageError("--chip needs --model, as in tokcalc memory --chip h800 --model llama-70b")
    if out.plot is not None and model is None:
        raise UsageError("--plot needs --model, as in tokcalc memory --model llama-70b --plot memory.svg")
    out.check()
    known = {g.id: g for g in listing.read_all("memory", load_memory)}
    found = which.kept([_row(g) for g in known.values()])
    found.sort(key=lambda row: (row["kind"], row["year"], row["id"]))
    if model is None:
        listing.show(found, _COLUMNS, out)
        return
    tokens = values.length("--context", which.context)
    columns: Sequence[Column]
    head = ""
    if chip is None:
        from ...explore.memory_generations import compare_generations

        network = load_model(model)
        used = weights or network.native_format
        named = {"model": network.id, "weights": used}
        generations = [known[row["id"]] for row in found]
        rows = [named | row for row in compare_generations(generations, network, used, context=float(tokens))]
        columns, y, title = _COMPARED, "output_tok_s_stack", f"{model} read from one stack"
    else:
        workload = {"concurrency": values.concurrency(which.concurrency), "weights": weights, "chips": which.chips}
        rows = _on_chip(found, chip, model, tokens, workload)
        columns, y, title = _ON_CHIP, "output_tok_s_user", f"{model} on {chip} with other memory"
        half, load = f"{max(1, tokens // 2):,} tokens", which.concurrency
        head = f"{title}; {half} in, {half} out; {'as many as fit' if load == 'max' else load} in flight."
    out.write(rows)
    out.draw(lambda: _chart(rows, y, title))
    told = [row for row in rows if "reason" not in row]
    out.show(rows, lambda width: [*[*text.wrap(head, width), ""] * bool(head), tabulate(columns, told, width)])
    for row in rows:
        if "reason" in row and not out.json_:
            tell(f"tokcalc: {row['memory']}: {row['reason']}")


def _row(generation: MemoryGeneration) -> listing.Row:
    energy = generation.energy_j_per_bit or (None, None)
    fields = ("year", "status", "scope", "bus_bits", "pin_rate_bit_s", "bandwidth_bytes_s", "capacity_bytes")
    return {
        "id": generation.id,
        "name": generation.name,
        "kind": _family(generation.id),
        **{name: getattr(generation, name) for name in fields},
        "energy_low_j_per_bit": energy[0],
        "energy_high_j_per_bit": energy[1],
        "grade": generation.grade,
        "aliases": "; ".join(generation.aliases),
    }


def _family(name: str) -> str:
    return next((family for family in _FAMILIES if name.startswith(family)), name)


def _on_chip(found: Sequence[listing.Row], chip: str, model: str, tokens: int, workload: Any) -> list[listing.Row]:
    """The chip's answers with its own memory and with each generation of the same family."""
    from ...catalog import load_chip
    from ...explore.memory_generations import on_chip

    level = load_chip(chip).main_memory
    family = _family((level.generation or level.type).lower())
    half = max(1, tokens // 2)
    return on_chip(chip, model, [r["id"] for r in found if r["kind"] == family], isl=half, osl=half, **workload)


def _chart(rows: list[listing.Row], y: str, title: str) -> Any:
    from ...report.plots import memory_generations

    ordered = sorted(rows, key=lambda row: row.get("bandwidth_bytes_s", 0.0))
    drawn = [{"chip": row.get("chip") or "one stack or device", **row} for row in ordered if row.get(y) is not None]
    return memory_generations(drawn, y=y, title=title)


def _speed(key: str) -> Any:
    """A cell of a speed: of grade D it is marked as rough and has two digits."""

    def write(row: listing.Row) -> str:
        return f"~{text.number(row[key], 2)}" if row.get("grade") == "D" else text.number(row.get(key))

    return write


def _two(value: float | None) -> str:
    return text.number(value, 2)


_GRADE = Column("grade", 92, False, item("grade"))
_BANDWIDTH = Column("bandwidth", 85, cell=item("bandwidth_bytes_s", lambda v: text.rate(v, "B/s")))
_CAPACITY = Column("capacity", 80, cell=item("capacity_bytes", text.size))
_COLUMNS = (
    Column("id", 100, False, item("id")),
    Column("year", 75, cell=item("year")),
    Column("status", 60, False, item("status")),
    Column("scope", 70, False, item("scope")),
    Column("bits", 80, cell=item("bus_bits", lambda v: "-" if v is None else f"{v:,}")),
    Column("pin rate", 85, cell=item("pin_rate_bit_s", lambda v: text.rate(v, "bit/s"))),
    Column("bandwidth", 95, cell=_BANDWIDTH.cell),
    Column("capacity", 90, cell=_CAPACITY.cell),
    Column("grade", 50, False, item("grade")),
)
_COMPARED = (
    Column("memory", 100, False, item("memory")),
    Column("year", 55, cell=item("year")),
    Column("per", 60, False, item("scope")),
    _BANDWIDTH,
    _CAPACITY,
    Column("tok/s each", 95, cell=_speed("output_tok_s_stack")),
    Column("to hold it", 90, cell=item("stacks_to_hold", lambda v: f"{v:,}")),
    Column("tok/s of all", 82, cell=_speed("output_tok_s")),
    Column("J/token from", 75, cell=item("joule_per_token_low", _two)),
    Column("to", 74, cell=item("joule_per_token_high", _two)),
    Column("USD/M token from", 65, cell=item("usd_per_m_low", _two)),
    Column("to", 64, cell=item("usd_per_m_high", _two)),
    _GRADE,
)
_ON_CHIP = (
    Column("memory", 100, False, item("memory")),
    _BANDWIDTH,
    _CAPACITY,
    Column("chips", 90, cell=item("chips")),
    Column("tok/s/user", 95, cell=_speed("output_tok_s_user")),
    Column("from", 70, cell=_speed("low")),
    Column("to", 69, cell=_speed("high")),
    Column("tok/s", 75, cell=_speed("output_tok_s")),
    Column("J/token", 60, cell=item("joule_per_output_token", _two)),
    Column("bound by", 50, False, item("bound_by")),
    _GRADE,
)
