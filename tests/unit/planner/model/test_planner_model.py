"""The model of the planner for seconds; `python -m tests.unit.planner.model.model_run` takes longer."""

import os

from hypothesis import HealthCheck, settings

from tests.unit.planner.model.model_cluster import Cluster

# `make test-random` looks for an hour's worth; the usual run is one of seconds.
EXAMPLES, STEPS = (3_000, 80) if os.environ.get("HYPOTHESIS_PROFILE") == "random" else (60, 40)
TestCluster = Cluster.TestCase
TestCluster.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
