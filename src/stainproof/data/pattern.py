"""Matching of layout patterns against paths, in time that grows with their lengths only.

Of several matches, `*` takes the longest text and `**` the most folders, from the left; fields take
the shortest text. A set of positions is the bits of an integer: bit i is position i.
"""

import re
from collections.abc import Sequence

from stainproof.errors import DataError

FIELDS = ("label", "group", "split")
MAX_LENGTH = 1000
"""Longest pattern in characters."""
_TOKEN = re.compile(r"\{(\w*)\}|\*+|\?|[^*?{]+|.", re.DOTALL)

Found = dict[str, str]


class Pattern:
    """A pattern such as `{group}/**/{label}/*`: fields, `*`, `**` and `?` between literal text."""

    def __init__(self, text: str):
        """Split a pattern into components.

        Raises:
            DataError: The pattern is too long, has no `{label}`, a field twice or an unknown field.
        """
        if len(text) > MAX_LENGTH:
            raise DataError(
                f"layout of {len(text):,} characters; allowed: {MAX_LENGTH:,} characters"
            )
        self.fields = tuple(re.findall(r"\{(\w*)\}", text))
        if unknown := [name for name in self.fields if name not in FIELDS]:
            allowed = ", ".join(f"{{{name}}}" for name in FIELDS)
            raise DataError(f"layout {text!r}: allowed: {allowed}, got {{{unknown[0]}}}")
        if self.fields.count("label") != 1 or len(set(self.fields)) < len(self.fields):
            raise DataError(
                f"layout {text!r}: needs {{label}} once, {{group}} and {{split}} at most once"
            )
        components = text.strip("/").split("/")
        if components[-1] == "**":
            components.append("*")  # any number of folders, and the file
        self._components = [None if one == "**" else _Component(one) for one in components]

    def match(self, path: str) -> Found | None:
        """Return field -> its text, or None if the path does not match."""
        parts = path.split("/")
        ends = [0] * len(self._components) + [1 << len(parts)]
        for at in range(len(self._components) - 1, -1, -1):
            ends[at] = self._starts(at, parts, ends[at + 1])
        if not ends[0] & 1:
            return None
        found: Found = {}
        place = 0
        for component, following in zip(self._components, ends[1:], strict=True):
            if component is None:
                place = following.bit_length() - 1
            else:
                found |= component.match(parts[place]) or {}
                place += 1
        return found

    def _starts(self, at: int, parts: Sequence[str], following: int) -> int:
        """Return where the components from `at` match, given where those behind it do."""
        component = self._components[at]
        if component is None:
            return (1 << following.bit_length()) - 1
        starts = following >> 1
        for place, part in enumerate(parts):
            if starts >> place & 1 and component.match(part) is None:
                starts ^= 1 << place
        return starts


class _Component:
    """The pattern of one folder or file name."""

    def __init__(self, text: str):
        self._tokens = [(token[0], token[1]) for token in _TOKEN.finditer(text)]
        self._is_literal = not any(name or token[0] in "*?" for token, name in self._tokens)
        self._text = text

    def match(self, name: str) -> Found | None:
        """Return field -> its text, or None if the name does not match."""
        if self._is_literal:
            return {} if name == self._text else None
        if len(self._tokens) == 1:
            (token, field), *_ = self._tokens
            if field:
                return {field: name} if name else None
            if token[0] == "*":
                return {}
        ends = [0] * len(self._tokens) + [1 << len(name)]
        for at in range(len(self._tokens) - 1, -1, -1):
            ends[at] = _starts(self._tokens[at], name, ends[at + 1])
        if not ends[0] & 1:
            return None
        found: Found = {}
        place = 0
        for (token, field), following in zip(self._tokens, ends[1:], strict=True):
            if field:
                behind = following >> (place + 1)
                end = place + (behind & -behind).bit_length()
                found[field] = name[place:end]
                place = end
            elif token[0] == "*":
                place = following.bit_length() - 1
            else:
                place += len(token)
        return found


def _starts(token: tuple[str, str], name: str, following: int) -> int:
    """Return at which positions a token matches, given where the tokens behind it do."""
    text, field = token
    if field:
        return (1 << max(following.bit_length() - 1, 0)) - 1
    if text[0] == "*":
        return (1 << following.bit_length()) - 1
    if text == "?":
        return following >> 1
    starts = following >> len(text)
    place = name.find(text)
    occurs = 0
    while place >= 0:
        occurs |= 1 << place
        place = name.find(text, place + 1)
    return starts & occurs
