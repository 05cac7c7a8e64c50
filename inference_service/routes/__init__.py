"""The endpoints, one module a noun; each only calls what does the work."""
