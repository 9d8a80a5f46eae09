"""The health of a worker on a real Kafka, judged by the tests on an embedded broker."""

from __future__ import annotations

from parts.test_health import (  # noqa: F401  # the same test
    test_an_idle_worker_is_well_beyond_the_limit_and_one_that_waits_for_its_warehouse_is_found,
)
