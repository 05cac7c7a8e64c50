"""Loads the live artifacts, answers predictions, and owns every address under /api/v1."""
