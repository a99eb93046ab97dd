"""What holds for every test.

Rules of this file:
- No test judges the speed of the machine it runs on; nor does Hypothesis, which would by default.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

os.environ["EDGE_AGENT_LANG"] = "en"  # whatever the developer's terminal speaks
