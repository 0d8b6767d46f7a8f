"""What providers charge for a million tokens of a model, on a given day.

Names are those of the product, not of the shape: DeepSeek-R1 and V3 have the same layers and different prices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from ..errors import UnknownName
from .amounts import Asked
from .pricebook import STALE_DAYS, Day, Rates, Row, flagged, known_rows, rows, source_urls

_SHORT = {"r1": "deepseek-r1", "v3": "deepseek-v3", "llama-70b": "llama-3.3-70b", "deepseek": "deepseek-v3"}


@dataclass(frozen=True)
class ApiPrice:
    """List price of one provider: money per million input, output and cached input tokens (None: not published)."""

    model: str
    provider: str
    tier: str
    input: float
    output: float
    cached_input: float | None
    currency: str
    date: date
    grade: str
    stale: bool
    source: str
    note: str


def api_models() -> tuple[str, ...]:
    """Names of the models with a list price, in alphabetical order."""
    return tuple(sorted({r["model"] for r in rows("api")}))


def api_name(model: str) -> str:
    """Name under which a model has list prices; UnknownName with the nearest ones."""
    name = model.strip().lower().replace(" ", "-")
    name = _SHORT.get(name, name)
    known = api_models()
    if name in known:
        return name
    begins = [k for k in known if k.startswith(name)]
    if len(begins) == 1:
        return begins[0]
    import difflib

    near = begins or difflib.get_close_matches(name, known, 4, 0.5)
    given = "give one with --input-price and --output-price"
    ways = f"nearest are {', '.join(near)}, or {given}" if near else given
    raise UnknownName(f'No list price of "{model}" is known; {ways}.')


def api_prices(model: str, on: Day = None, currency: str = "USD", rates: Rates = None) -> tuple[ApiPrice, ...]:
    """The list price of every provider of the model on a date, the cheapest output first.

    One for each provider and tier: the latest on or before the date, dropped once withdrawn. NoAnswer when the
    first list is later than the date.
    """
    name, asked = api_name(model), Asked.of(on, currency, rates)
    mine = [r for r in rows("api") if r["model"] == name]
    histories: dict[tuple[str, str], list[Row]] = {}
    for row in known_rows(mine, asked.day, f"No list price of {name} is known for"):
        histories.setdefault((row["provider"], row["tier"]), []).append(row)
    found = [price for history in histories.values() if (price := _latest(history, asked)) is not None]
    return tuple(sorted(found, key=lambda p: (p.output, p.provider)))


def _latest(history: Sequence[Row], asked: Asked) -> ApiPrice | None:
    """The price that held last; a cached-input price noted on its own joins it.

    A list that another contradicts and a promotion count only where the provider has no other.
    """
    fit = [r for r in history if not flagged(r, "contradicted", "promo")] or history
    whole = [r for r in fit if r["input"] and r["output"]]
    if not whole:
        return None
    row = max(whole, key=lambda r: r["date"])
    newest_first = sorted(fit, key=lambda r: r["date"], reverse=True)
    cached = row["cached_input"] or next((r["cached_input"] for r in newest_first if r["cached_input"]), "")
    against = [r for r in history if flagged(r, "contradicted") and r["date"] >= row["date"] and r is not row]
    notes = [row["note"]] if row["note"] else []
    for r in against:
        other = f"{r['input']}/{r['output']}/{r['cached_input'] or '-'}"
        notes.append(f"another list, seen {r['date'][:7]}, gives {other} for input/output/cached")
    moment = date.fromisoformat(row["date"])
    return ApiPrice(
        model=row["model"],
        provider=row["provider"],
        tier=row["tier"],
        input=asked.amount(float(row["input"]), row["currency"]),
        output=asked.amount(float(row["output"]), row["currency"]),
        cached_input=asked.amount(float(cached), row["currency"]) if cached else None,
        currency=asked.currency,
        date=moment,
        grade=max(row["grade"], "C") if against else row["grade"],
        stale=(asked.day - moment).days > STALE_DAYS,
        source=next(iter(source_urls([row["source"]])), ""),
        note="; ".join(notes),
    )


def api_price(
    model: str,
    provider: str | None = None,
    on: Day = None,
    currency: str = "USD",
    *,
    tier: str | None = None,
    rates: Rates = None,
) -> ApiPrice:
    """List price of one provider, or of the model's own maker where it sells the model, else the median by output.

    tier: "standard" where the provider has it, else what it sells. UnknownName for a provider without this
    model.
    """
    found = api_prices(model, on, currency, rates)
    if provider is not None:
        name = provider.strip().lower()
        mine = [p for p in found if p.provider.lower().startswith(name)]
        if not mine:
            sellers = ", ".join(sorted({p.provider for p in found}))
            raise UnknownName(f'No list price of {found[0].model} by "{provider}" is known; sellers are {sellers}.')
    else:
        maker = found[0].model.split("-")[0].rstrip("0123456789.")
        mine = [p for p in found if p.provider.lower().startswith(maker)] or list(found)
    wanted = [p for p in mine if p.tier == (tier or "standard")]
    if tier is not None and not wanted:
        tiers = ", ".join(sorted({p.tier for p in mine}))
        raise UnknownName(f'No tier "{tier}" of {found[0].model}; tiers are {tiers}.')
    wanted = wanted or mine
    return wanted[(len(wanted) - 1) // 2]
