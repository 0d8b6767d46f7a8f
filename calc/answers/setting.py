"""What one call of the core shares: chip, model, formats, engine, price, loaded once for each combination
of names.

Sweeps, the planner and the atlas ask by names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..arrays import Array
from ..serving.piped_loop import Piped
from ..serving.replica import Replica
from ..trust.grades import answer_grade
from .money import Price, price_line

if TYPE_CHECKING:
    from ..engines.constants import Constants
    from ..engines.engine import Engine
    from ..hardware.chip import Chip
    from ..models.model import Model
    from ..physics.operators import Formats
    from ..physics.parallel import Plan

Key = tuple[tuple[str, Any], ...]
MONEY = ("rent", "own", "price", "on", "currency", "fx", "region")


@dataclass(frozen=True)
class Setting:
    """What one call of the core shares; `price` is None where none is known."""

    chip: Chip
    model: Model
    weights: str
    kv: str
    formats: Formats
    engine: Engine
    constants: Constants
    price: Price | None
    grade: str

    def machine(self, plan: Plan, chips: Array | None = None) -> Replica | Piped:
        """Chips cut by `plan`; layers piped over `chips` (None: the fewest) where weights stay in SRAM."""
        if self.chip.weights_in_sram:
            return Piped(self.chip, self.model, self.formats, chips)
        return Replica.of(self.chip, self.model, plan, self.formats, (self.engine, self.constants))


def key_of(given: Mapping[str, Any]) -> Key:
    """The options as a key of `setting`."""
    flat = {k: tuple(sorted(v.items())) if isinstance(v, Mapping) else v for k, v in given.items()}
    return tuple(sorted(flat.items(), key=lambda item: item[0]))


@lru_cache(maxsize=512)
def setting(key: Key) -> Setting:
    """Chip, model, formats, engine and price of one combination of names."""
    from ..engines.constants import load_constants
    from ..engines.engine import default_engine, find_engine
    from ..engines.pipelines import constants_for
    from ..physics.operators import component_formats
    from ..serving.precision import choose_formats

    given = dict(key)
    constants = load_constants()
    overrides = {**dict(given.get("overrides") or ()), **{k: str(v) for k, v in given.items() if "." in k}}
    chip = _chip(str(given["chip"]), tuple(sorted(overrides.items())), given.get("memory"))
    model = _model(str(given["model"]))
    engine = find_engine(constants, given.get("engine") or default_engine(chip))
    asked = given.get("weights")
    if chip.weights_in_sram:
        table, scope = constants_for(chip)
        if asked is None and model.native_format in ("bf16", "fp16", "fp32"):
            asked = table.get("weights")  # as the vendor stores them
    weights, kv, _ = choose_formats(chip, model, engine, asked, given.get("kv"))
    if not chip.weights_in_sram:
        scope = constants.scope(chip, weights)
    return Setting(
        chip,
        model,
        weights,
        kv,
        component_formats(model, weights, kv),
        engine,
        constants,
        _price(chip, tuple((k, given[k]) for k in MONEY if given.get(k) is not None)),
        answer_grade(chip, constants, scope, model.is_moe),
    )


@lru_cache(maxsize=1024)
def _chip(name: str, overrides: tuple[tuple[str, str], ...], memory: str | None) -> Chip:
    from ..catalog import load_chip

    return load_chip(name, dict(overrides) or None, memory)


@lru_cache(maxsize=1024)
def _model(name: str) -> Model:
    from ..catalog import load_model

    return load_model(name)


@lru_cache(maxsize=512)
def _price(chip: Chip, money: Key) -> Price | None:
    """The price of a chip, looked up once for all models."""
    return price_line(chip, dict(money))
