"""All that Dagster loads: assets by group, checks, jobs, sensors, schedules, resources."""
