"""What an error in the user's input looks like: what was expected, what was found, what to do."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input from the user; the message is one line that names expectation, finding and mend."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint ``; nearest: X`` for a mistyped name, or nothing where no known name is close."""
    by_lower = {str(candidate).lower(): str(candidate) for candidate in known}
    close = difflib.get_close_matches(str(name).lower(), list(by_lower), n=1, cutoff=0.6)
    return f"; nearest: {by_lower[close[0]]}" if close else ""
