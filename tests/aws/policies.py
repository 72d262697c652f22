"""What IAM policies let somebody do. Wildcards are evaluated: patterns are compared with patterns."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

ELEMENTS = {"Sid", "Effect", "Action", "Resource", "Condition"}


@dataclass(frozen=True)
class Policy:
    """The statements of one role."""

    statements: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, text: str) -> "Policy":
        """From its JSON. What this evaluation does not know (NotAction, NotResource) is an error, not a pass."""
        statements = json.loads(text)["Statement"]
        for statement in statements:
            assert set(statement) <= ELEMENTS, (
                f"{statement['Sid']}: {set(statement) - ELEMENTS} cannot be evaluated here"
            )
        return cls(tuple(statements))

    def reaches(self, action: str, resource: str) -> list[str]:
        """The statements that let anything through of what both patterns describe, were their conditions met."""
        return [statement["Sid"] for statement in self._matching("Allow", action, resource)]

    def allows(self, action: str, resource: str, **context: str) -> bool:
        """Whether this one action on this one resource is let through, its request having that context."""
        allowed = any(_met(statement, context) for statement in self._matching("Allow", action, resource))
        denied = any(_met(statement, context) for statement in self._matching("Deny", action, resource))
        return allowed and not denied

    def _matching(self, effect: str, action: str, resource: str) -> Iterator[dict[str, Any]]:
        for statement in self.statements:
            if (
                statement["Effect"] == effect
                and any(overlap(given.lower(), action.lower()) for given in _list(statement["Action"]))
                and any(overlap(given, resource) for given in _list(statement["Resource"]))
            ):
                yield statement


def _met(statement: dict[str, Any], context: dict[str, str]) -> bool:
    """Keys are given with an underscore for the colon: `kms_ViaService`."""
    given = {name.replace("_", ":", 1): value for name, value in context.items()}
    for operator, expected in statement.get("Condition", {}).items():
        assert operator in ("StringEquals", "StringLike", "ArnLike"), f"{operator} cannot be evaluated here"
        for key, values in expected.items():
            if key not in given or not any(overlap(value, given[key]) for value in _list(values)):
                return False
    return True


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@cache
def overlap(one: str, other: str) -> bool:
    """Whether there is a text that both patterns match (`*`: any characters, `?`: any one)."""
    if not one or not other:
        return not (one + other).replace("*", "")
    if one[0] == "*":
        return overlap(one[1:], other) or overlap(one, other[1:])
    if other[0] == "*":
        return overlap(one, other[1:]) or overlap(one[1:], other)
    return (one[0] == other[0] or "?" in (one[0], other[0])) and overlap(one[1:], other[1:])
