"""What waits: each looks once, then leaves its worker slot to others."""
