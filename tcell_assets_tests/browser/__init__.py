"""The UI and the report in a real browser."""
