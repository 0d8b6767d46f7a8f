"""From seconds of steps to metrics of a service: workloads, replicas, regimes, the chooser of cuts and loads."""
