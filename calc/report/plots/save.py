"""A chart as a file: vl-convert draws it offline, and the file is written whole or not at all."""

from __future__ import annotations

import json
import os
from typing import Any

from ...errors import UsageError
from ..export import need
from ..files import check_target, whole_file

ENDINGS = {".svg": "svg", ".png": "png", ".pdf": "pdf", ".html": "html"}
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
    shown = os.fspath(path)
    ending = os.path.splitext(shown)[1].lower()
    if ending not in ENDINGS:
        named = f"the ending {ending!r} is not known" if ending else "it has no ending"
        raise UsageError(f"cannot plot to {shown!r}: {named}; known: {' '.join(ENDINGS)}.")
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
    if ending == ".svg":
        drawn = vl_convert.vegalite_to_svg(spec, vl_version=version).encode()
    elif ending == ".png":
        drawn = vl_convert.vegalite_to_png(spec, vl_version=version, scale=SCALE)
    elif ending == ".pdf":
        drawn = vl_convert.vegalite_to_pdf(spec, vl_version=version)
    else:
        # The page holds the spec in a script, which a "</script>" in a name would end: "<" becomes an escape.
        page: str = vl_convert.vegalite_to_html(
            json.dumps(spec).replace("<", LESS_THAN), vl_version=version, bundle=True
        )
        drawn = page.replace(LESS_THAN, "\\u003c").encode()
    with whole_file(path) as temporary:
        temporary.write_bytes(drawn)
