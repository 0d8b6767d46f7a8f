"""The exceptions that a user can meet; each message is one sentence: the thing, the reason, the way out."""

from __future__ import annotations


class TokcalcError(Exception):
    """Base of every expected failure; the command line prints the message and exits with `exit_code`."""

    exit_code = 2


class UsageError(TokcalcError):
    """Wrong usage or bad input (exit code 2)."""


class UnknownName(UsageError):
    """No chip, model, memory, engine or currency of that name, or several; the message lists the nearest."""


class SpecError(UsageError):
    """A spec or data file that cannot be read or breaks the schema; the message names file, key and reason."""


class NoAnswer(TokcalcError):
    """The question is well formed and has no answer (exit code 1)."""

    exit_code = 1


class DoesNotFit(NoAnswer):
    """The model does not fit the chips; the message says how much is missing and how many chips would do."""
