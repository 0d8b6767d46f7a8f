"""From seconds of steps to metrics of a service: workloads, deployments, replicas, regimes."""
