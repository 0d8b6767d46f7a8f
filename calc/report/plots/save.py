"""A chart as a file: vl-convert draws it offline, and the file is written whole or not at all."""

from __future__ import annotations

import json
import os
from typing import Any

from ..export import need
from ..files import check_target, known_ending, whole_file

ENDINGS = (".svg", ".png", ".pdf", ".html")
# Twice the pixels, so that a page-wide image stays sharp on a dense screen or in print.
SCALE = 2
LESS_THAN = "tokcalc-less-than-sign"


def endings() -> list[str]:
    """The file endings that `save` knows."""
    return list(ENDINGS)


def check(path: str | os.PathLike[str]) -> str:
    """The ending of a path that `save` would take; call it before a long computation.

    Raises UsageError when the ending is unknown, a library is missing, or the place cannot be written.
    """
    ending = known_ending(path, ENDINGS, "cannot plot to")
    need("altair", "plotting", "plot")
    need("vl_convert", "plotting", "plot")
    check_target(path)
    return ending


def save(chart: Any, path: str | os.PathLike[str]) -> None:
    """Write an Altair chart in the format of the path's ending; .html carries its JavaScript inside.

    Raises UsageError for an unknown ending or place, files.WriteFailed when the disk refuses.
    """
    ending = check(path)
    import vl_convert

    version = ".".join(need("altair", "plotting", "plot").SCHEMA_VERSION.lstrip("v").split(".")[:2])
    spec = chart.to_dict()
    if ending == ".html":
        # The page holds the spec in a script, which a "</script>" in a name would end: "<" becomes an escape.
        text = json.dumps(spec).replace("<", LESS_THAN)
        page: str = vl_convert.vegalite_to_html(text, vl_version=version, bundle=True)
        drawn: str | bytes = page.replace(LESS_THAN, "\\u003c")
    else:
        scale = {"scale": SCALE} if ending == ".png" else {}
        drawn = getattr(vl_convert, f"vegalite_to_{ending[1:]}")(spec, vl_version=version, **scale)
    with whole_file(path) as temporary:
        temporary.write_bytes(drawn.encode() if isinstance(drawn, str) else drawn)
