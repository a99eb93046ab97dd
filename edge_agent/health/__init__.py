"""Health of the running agent: `findings(gather(...))`.

Rules of this file:
- Names only.
"""

from edge_agent.health.facts import Facts, findings, span
from edge_agent.health.gather import data_dir_mode, disk_use, file_system_of, gather, mounted_as

__all__ = [
    "Facts",
    "data_dir_mode",
    "disk_use",
    "file_system_of",
    "findings",
    "gather",
    "mounted_as",
    "span",
]
