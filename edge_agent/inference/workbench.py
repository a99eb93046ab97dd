"""What an inference process holds and does: models, assets, plans; one job or request at a time.

Rules of this file:
- Heavy imports live here; `child.py` brings it up once its output is safe.
- Equipment is replaced as one value; a model whose folder and bytes did not change stays loaded.
- A picture is decoded once; verdict, overlay and thumbnail share its pixels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import cv2

from edge_agent.errors import AgentError, BadDefinition, InferenceFailed
from edge_agent.images import decode, probe
from edge_agent.inference.definition import compile_pipeline
from edge_agent.inference.install import install_package, verify_package
from edge_agent.inference.package import read_package
from edge_agent.inference.pictures import write_pictures
from edge_agent.inference.plan import ModelKey, Plan
from edge_agent.inference.runtime import PROVIDER, OnnxModel, load_model
from edge_agent.inference.values import Calibration, Heatmap, Pixels, RunContext
from edge_agent.inference.wire import Message

MAX_PLANS = 256
MAX_ASSETS = 32
