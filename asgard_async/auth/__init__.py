"""Authentication: tokens, scopes, sessions, limits on failures, and the audit log."""
