"""What probes again while a sensor is deferred."""
