"""Topic filters with named levels: `sensor/{device}/data`. Pure."""

from __future__ import annotations


class TopicFilter:
    """`{name}` stands for one level and keeps it; `+` and `#` as in MQTT.

    Raises:
        ValueError: not a topic filter.
    """

    def __init__(self, text: str) -> None:
        self._levels = text.split("/")
        names = [level[1:-1] for level in self._levels if _is_name(level)]
        plain = [level for level in self._levels if not _is_name(level)]
        if not text or len(text) > 1000 or any(c in text for c in "\x00\n"):
            raise ValueError("a topic filter has 1 to 1000 characters")
        if len(set(names)) != len(names) or not all(name.isidentifier() for name in names):
            raise ValueError("each name in braces is a word and stands once")
        if any(set(level) & set("+#{}") and level not in ("+", "#") for level in plain):
            raise ValueError("+, # and {name} take a whole level")
        if "#" in self._levels[:-1]:
            raise ValueError("# stands at the end")
        self.names = frozenset(names)
        self.mqtt = "/".join("+" if _is_name(level) else level for level in self._levels)

    def match(self, topic: str) -> dict[str, str] | None:
        """The named levels of a topic; None if the filter does not take it."""
        found: dict[str, str] = {}
        levels = topic.split("/")
        rest = self._levels[-1] == "#"
        wanted = self._levels[:-1] if rest else self._levels
        if len(levels) < len(wanted) or (len(levels) > len(wanted) and not rest):
            return None
        for level, want in zip(levels, wanted, strict=False):
            if _is_name(want):
                found[want[1:-1]] = level
            elif want not in ("+", level):
                return None
        return found


def _is_name(level: str) -> bool:
    return len(level) > 2 and level[0] == "{" and level[-1] == "}"
