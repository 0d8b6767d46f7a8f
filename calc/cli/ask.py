"""Ask for every chip with every model, and print what comes back: a card, a table, JSON, files."""

from __future__ import annotations

import sys
from typing import Any


def ask(
    chips: list[str],
    models: list[str],
    question: dict[str, Any],
    *,
    explain: bool = False,
    json_: bool = False,
    exports: list[str] | None = None,
) -> int:
    """Print the answers and return the exit code: 0 if any chip has an answer, 1 if none has.

    A single pair without an answer raises its reason; in a comparison the reason stands in place of numbers.
    """
    if exports:
        from ..report import check

        for path in exports:
            check(path)  # before the work, not after it
    if len(chips) == len(models) == 1:
        from ..answers.estimate import estimate

        answers = [estimate(chips[0], models[0], **question).to_dict()]
    else:
        from ..explore.compare import answers as compare_answers

        answers = compare_answers(chips, models, **question)
    if exports:
        _export(answers, exports)
    if json_:
        _print_json(answers if len(answers) > 1 else answers[0])
    else:
        print(_text(answers, explain))
    return 0 if any("speed" in answer for answer in answers) else 1


def _text(answers: list[dict[str, Any]], explain: bool) -> str:
    from .pages import answer as card
    from .text import wants_colour, width

    if len(answers) == 1:
        parts = [card.card(answers[0], width(), wants_colour())]
    else:
        from .pages.comparison import comparison

        parts = [comparison(answers, width())]
    if explain:
        from .pages.explanation import explanation

        parts += [explanation(answer, width()) for answer in answers if answer.get("terms")]
    return "\n\n".join(parts)


def _print_json(value: object) -> None:
    import json

    json.dump(value, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
    print()


def _export(answers: list[dict[str, Any]], exports: list[str]) -> None:
    from ..explore.compare import flatten
    from ..report import write

    rows = [flatten(answer) for answer in answers]
    for path in exports:
        write(rows, path)
        print(f"wrote {path}", file=sys.stderr)
