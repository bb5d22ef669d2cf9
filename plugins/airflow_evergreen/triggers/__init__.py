"""What looks again while a sensor is deferred."""
