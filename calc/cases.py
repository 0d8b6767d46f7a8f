"""Measured rows to cases of the core: one block per chip, model, formats and engine, with arrays of the rest.

Fills what a row leaves out by stated rules (`assumed`), and says why a row can't be predicted. Stands after
`measured`, before `predict` and `calibrate`, which share these blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from .constants import Constants
from .engine import Engine, find_engine
from .errors import TokcalcError
from .formats import find_format
from .memory import footprint
from .operators import Formats, component_formats
from .parallel import Plan

if TYPE_CHECKING:
    import pandas as pd

    from .chip import Chip
    from .model import Model

Array = Any
NOMINAL_LENGTH = 0.9  # mean of a uniform draw between 0.8 and 1.0


@dataclass(frozen=True)
class Block:
    """Rows that share chip, model, formats and engine. Arrays have one entry per row; `index` are row positions."""

    chip: Chip
    model: Model
    weights: str
    kv: str
    formats: Formats
    engine: Engine
    version: np.ndarray
    date: np.ndarray
    index: np.ndarray
    regime: np.ndarray
    metric: np.ndarray
    plan: Plan
    isl: np.ndarray
    osl: np.ndarray
    batch: np.ndarray  # requests in flight in the replica
    limit: np.ndarray  # largest batch that memory holds
    spec: np.ndarray
    context_known: np.ndarray
    cached: np.ndarray  # share of the prompt found in a cache


@lru_cache(maxsize=512)
def _chip(name: str) -> Chip:
    from .catalog import load_chip

    return load_chip(name)


@lru_cache(maxsize=512)
def _model(name: str) -> Model:
    from .catalog import load_model

    return load_model(name)


def default_weights(chip: Chip, model: Model) -> str:
    """Weights when nobody says: the released format where the chip runs it, else 16 bit (8 bit on SRAM-free chips no)."""
    native = model.native_format
    wide = "bf16" if "bf16" in chip.peak_ops_s or "fp16" not in chip.peak_ops_s else "fp16"
    if native in ("bf16", "fp16", "fp32"):
        return wide
    return native


def _numbers(frame: pd.DataFrame, column: str, default: float) -> np.ndarray:
    values = frame[column].to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.isnan(values), default, values)


def build_blocks(rows: pd.DataFrame, constants: Constants) -> tuple[list[Block], dict[int, str]]:
    """(blocks, reasons): every row is in one block, or has a reason by its position.

    rows: columns of the measured contract as `measured.read_rows` types them, any index.
    """
    rows = rows.reset_index(drop=True)
    blocks: list[Block] = []
    reasons: dict[int, str] = {}
    keys = ["chip", "model", "weights", "kv", "engine"]
    table = rows.assign(**{k: rows[k].fillna("").astype(str) for k in keys})
    for (chip_name, model_name, weights, kv, engine_name), part in table.groupby(keys, sort=True):
        where = part.index.to_numpy()
        try:
            chip, model = _chip(str(chip_name)), _model(str(model_name))
            try:
                engine = find_engine(constants, str(engine_name) or None)
            except TokcalcError:
                engine = find_engine(constants, None)
            weights = str(weights) or default_weights(chip, model)
            find_format(weights)
            kv = str(kv) or engine.default_kv(weights)
            formats = component_formats(model, weights, kv)
        except TokcalcError as error:
            reasons.update(dict.fromkeys(where.tolist(), str(error)))
            continue
        blocks.append(_block(part, where, chip, model, weights, kv, formats, engine))
    return blocks, reasons


def _block(
    part: pd.DataFrame, where: np.ndarray, chip: Chip, model: Model, weights: str, kv: str,
    formats: Formats, engine: Engine,
) -> Block:  # fmt: skip
    chips = _numbers(part, "chips", np.nan)
    pp, dp, ep = (_numbers(part, c, 1.0) for c in ("pp", "dp", "ep"))
    tp = _numbers(part, "tp", np.nan)
    tp = np.where(np.isnan(tp), np.where(np.isnan(chips), 1.0, np.maximum(1.0, chips / (pp * dp))), tp)
    ep = np.minimum(ep, tp * dp)
    plan = Plan(tp, pp, dp, ep)
    isl_known = ~np.isnan(part["isl"].to_numpy(dtype=float, na_value=np.nan))
    isl = _numbers(part, "isl", 512.0)
    osl = np.maximum(_numbers(part, "osl", 256.0), 1.0)
    # the InferenceX client draws lengths between 0.8 and 1.0 of the nominal ones
    nominal = part["note"].fillna("").astype(str).str.startswith("inferencex").to_numpy()
    isl, osl = np.where(nominal, NOMINAL_LENGTH * isl, isl), np.where(nominal, NOMINAL_LENGTH * osl, osl)
    limit = footprint(chip, model, plan, formats, engine, isl + 0.5 * osl).batch
    limit = np.minimum(limit, engine.max_sequences * dp)
    asked = _numbers(part, "concurrency", np.nan)
    maximum = part["max_load"].to_numpy(dtype=bool)
    batch = np.where(maximum | np.isnan(asked), np.maximum(limit, 1.0), asked)
    return Block(
        chip, model, weights, kv, formats, engine,
        part["version"].fillna("").astype(str).to_numpy(), part["date"].fillna("").astype(str).to_numpy(),
        where, part["regime"].to_numpy(dtype=str), part["metric"].to_numpy(dtype=str), plan, isl, osl, batch, limit,
        _numbers(part, "spec_decode", 0.0), isl_known, np.zeros(len(part)),
    )  # fmt: skip
