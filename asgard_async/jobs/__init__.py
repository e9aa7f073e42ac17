"""Jobs: their submission, their lifecycle, and the actions on them."""
