"""What an error code means to a person at the centre, in Japanese and English: the edge's words, and ours over them.

Rules of this file:
- `messages.json` beside it holds title and hint of every code of the protocol and of our own; a test scans the source.
- The `detail` of an error names the values at fault and stays English, as at the edge.
"""

from __future__ import annotations

from functools import cache

from central_server.errors import ServerError
from edge_agent.errors import AgentError
from edge_agent.messages import Catalogue, Message, read_catalogue
from edge_agent.messages import message_of as edge_message_of


@cache
def catalogue() -> Catalogue:
    """Code → language → message."""
    return {**read_catalogue("edge_agent"), **read_catalogue("central_server")}


def message_of(error: ServerError | AgentError, language: str) -> Message:
    """Title and hint for this error; the error's own English hint wins where it has one."""
    if isinstance(error, AgentError):
        return edge_message_of(error, language, catalogue())
    message = catalogue()[error.code.code][language]
    return Message(message.title, error.hint) if language == "en" and error.hint else message
