"""What the port promises to those who ask at it."""

from __future__ import annotations

from fastapi import FastAPI

from edge_agent import serving
from edge_agent.clock import Clock
from edge_agent.config import read_supervisor

BROWSERS_KEEP_S = 300


def test_an_idle_connection_is_kept_longer_than_a_browser_keeps_it() -> None:
    """Else it would write to a connection that is closed at that moment, and a change would seem to have failed."""
    server = serving._Server(FastAPI(), read_supervisor(), Clock(), lambda: None)
    assert server.config.timeout_keep_alive > BROWSERS_KEEP_S
