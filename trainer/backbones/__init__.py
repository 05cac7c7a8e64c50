"""Pretrained networks, built layer by layer, their weights read from a local file."""
