"""Who is asking: accounts, sessions, API keys and sign-in, and the answer that Nginx asks for."""
