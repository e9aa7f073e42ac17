"""The checks of `asgard doctor`, none of which changes anything."""
