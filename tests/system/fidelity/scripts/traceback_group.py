error = ExceptionGroup("several", [ValueError(1), ExceptionGroup("more", [TypeError(2)])])
error.add_note("a note\nof two lines")
raise error
