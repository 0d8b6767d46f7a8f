"""Which chips are alike in price: the form factors of one chip, and the class that one without a price borrows from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..errors import NoAnswer, UnknownName
from .pricebook import Price, Row, median, rows

Priced = Sequence[tuple[str, Price]]


def group_of(chip_id: str) -> Row:
    """Series (form factors of one chip) and price class of a chip; empty texts when it is in no group."""
    none = {"chip": chip_id, "series": "", "class": ""}
    return next((row for row in rows("groups") if row["chip"] == chip_id), none)


def is_main_form(chip_id: str) -> bool:
    """Whether prices that state no form factor are taken for this one: the first of its series in the file."""
    series = group_of(chip_id)["series"]
    return not series or chip_id == next(row["chip"] for row in rows("groups") if row["series"] == series)


def rows_of(kind: str, chip_id: str) -> list[Row]:
    """Rows of the chip and those of its series whose form factor is not stated."""
    names = (chip_id, group_of(chip_id)["series"] or chip_id)
    return [row for row in rows(kind) if row["chip"] in names]


def priced_alike(chip_id: str, family: str, price: Callable[[str], Price | None]) -> Priced:
    """The other chips of the class that have a price; `family` names the class of a chip that is in no group."""
    name = group_of(chip_id)["class"] or family
    found = []
    for row in rows("groups"):
        if name and row["class"] == name and row["chip"] != chip_id:
            try:
                found.append((row["chip"], price(row["chip"])))
            except (NoAnswer, UnknownName):
                continue
    return [(member, known) for member, known in found if known is not None]


def borrowed(chip_id: str, family: str, what: str, priced: Priced, stands: Price) -> Price:
    """The range of a class as a price of grade D: `stands`, with the median and the extremes of all."""
    values = [price.value for _, price in priced]
    return replace(
        stands,
        value=median(values),
        low=min(values),
        high=max(values),
        n_offers=sum(price.n_offers for _, price in priced),
        basis="class",
        grade="D",
        providers=(),
        beside={},
        borrowed_from=tuple(member for member, _ in priced),
        note=f"no {what} of {chip_id} is known: range of the {group_of(chip_id)['class'] or family} class",
    )
