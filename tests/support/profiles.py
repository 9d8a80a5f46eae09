"""How many examples a property is tried on: few by `fast`, those of every change by `ci`, many by `nightly`.

A profile is chosen by --hypothesis-profile or HYPOTHESIS_PROFILE; without either it is `ci`.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EXAMPLES = {"fast": 10, "ci": 60, "nightly": 500}
FEWEST = 5


def register() -> None:
    """Make the profiles known to Hypothesis and load the one that is asked for."""
    for name, count in EXAMPLES.items():
        settings.register_profile(
            name, max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
        )
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def examples(share: float, *, derandomize: bool = False) -> settings:
    """A share of the profile's examples: less than one for a dear property, more for a cheap one."""
    return settings(max_examples=max(FEWEST, round(share * settings().max_examples)), derandomize=derandomize)
