"""The only code that reads or writes tables, records and models."""
