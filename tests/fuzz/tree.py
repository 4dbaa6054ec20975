"""Change JSON as a tree: bytes changed at random hardly ever get past the parser."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

_MOST_DEPTH = 3000

# What programs have stumbled over: edges of number ranges, text that is none, times that are none.
ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**53,
        2**53 + 1,
        2**63 - 1,
        2**63,
        2**64,
        -(2**63) - 1,
        10**400,
    ),
    *(0.5, -0.0, 1e-320, 1.7e308, float("nan"), float("inf"), float("-inf")),
    *(
        "",
        "x",
        "\0",
        "\ud800",
        "\udfff\ud800",
        "ß\u202e\U0001f4a5",
        "x" * 257,
        "'; DROP TABLE a;--",
    ),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:60Z", "2026-01-01T00:00:00", "../evil"),
    *([], {}, [[]], {"": {}}, [None] * 300),
)


def changed(raw: bytes, rng: Random) -> bytes | None:
    """The same JSON with a few places changed; None: it is none, or too deep to walk."""
    try:
        return _changed(json.loads(raw), rng)
    except (ValueError, RecursionError):
        return None


def _changed(tree: Any, rng: Random) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        tree = _with_one_change(tree, rng)
    text = json.dumps(tree)
    if rng.random() < 0.02:
        depth = rng.randint(1, _MOST_DEPTH)
        text = "[" * depth + text + "]" * depth
    if rng.random() < 0.05:  # a key that stands twice
        text = text.replace("{", "{" + f'"{_a_key(tree, rng)}": {json.dumps(rng.choice(ODD))}, ', 1)
    return text.encode()


def _with_one_change(tree: Any, rng: Random) -> Any:
    """Walk down at random; change what is there."""
    if isinstance(tree, dict) and tree and rng.random() < 0.85:
        key = rng.choice(list(tree))
        match rng.randrange(12):
            case 0:
                del tree[key]
            case 1:
                tree[rng.choice(("", "x", "\0", key.upper(), key + "_"))] = copy.deepcopy(tree[key])
            case 2:
                tree[rng.choice(list(tree))] = copy.deepcopy(tree[key])
            case _:
                tree[key] = _with_one_change(tree[key], rng)
        return tree
    if isinstance(tree, list) and tree and rng.random() < 0.7:
        at = rng.randrange(len(tree))
        match rng.randrange(6):
            case 0:
                del tree[at]
            case 1:
                tree.insert(at, copy.deepcopy(tree[at]))
            case _:
                tree[at] = _with_one_change(tree[at], rng)
        return tree
    if isinstance(tree, int | float) and rng.random() < 0.5:
        return rng.choice((tree + 1, tree - 1, -tree, tree * 2, str(tree), [tree]))
    if isinstance(tree, str) and rng.random() < 0.5:
        at = rng.randrange(len(tree) + 1)
        return tree[:at] + rng.choice(("", "/", "\n", "+", "\ud83d", tree)) + tree[at + 1 :]
    return copy.deepcopy(rng.choice(ODD))


def _a_key(tree: Any, rng: Random) -> str:
    names = [key for key in tree if key.isidentifier()] if isinstance(tree, dict) else []
    return rng.choice(names) if names else "x"
