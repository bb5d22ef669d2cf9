"""What waits: each probes once, then leaves its worker slot to others."""
