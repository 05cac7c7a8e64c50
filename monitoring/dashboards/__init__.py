"""Grafana's dashboards, one a question. `python -m monitoring.dashboards` writes their files."""

from monitoring.dashboards import fleet, models, redis, service, steps, work

BOARDS = (service.BOARD, steps.BOARD, models.BOARD, work.BOARD, redis.BOARD, fleet.BOARD)
