"""One operator a step, under the step's own verb."""
