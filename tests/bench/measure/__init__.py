"""The parts of the benchmark: how servers are started, how load is made, what is measured, how it is shown."""
