"""The one public door: the proxy's configuration, and the local stack behind it."""
