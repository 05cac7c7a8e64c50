"""What the identity service answers, one module a noun."""
