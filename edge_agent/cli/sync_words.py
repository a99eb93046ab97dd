"""Amounts, sizes and times of the synchronisation as people read them."""

from __future__ import annotations


def amount(count: int, is_more: bool) -> str:
    """A bounded count."""
    return f"{count:,}{'+' if is_more else ''}"


def size(count: float) -> str:
    """Bytes, in the unit that keeps them short."""
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count:.0f} B"


def age(seconds: float) -> str:
    """How long ago, to two places."""
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86_400
    if days >= 2:
        return f"{days:.0f} days"
    if hours >= 1:
        return f"{hours:.0f} h {minutes % 60:.0f} min"
    return f"{minutes:.0f} min {seconds % 60:.0f} s" if minutes >= 1 else f"{seconds:.0f} s"
