"""Files that must survive a crash: durability, ownership, locks, removal."""
