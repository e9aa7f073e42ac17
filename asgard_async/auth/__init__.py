"""Who may do what: tokens, their scopes, and how many wrong ones are looked at."""
