"""From result folders to tables and pages; never loads torch."""
