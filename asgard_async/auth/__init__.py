"""Authentication: tokens, scopes, limits on failures, and the audit log."""
