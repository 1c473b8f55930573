"""Turns result folders into tables and pages, and never loads torch."""
