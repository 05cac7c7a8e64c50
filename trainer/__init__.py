"""Audits data, trains, evaluates, calibrates and publishes artifacts."""
