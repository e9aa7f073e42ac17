"""File operations: durability, ownership, locks, free space and removal."""
