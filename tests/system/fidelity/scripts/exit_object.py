raise SystemExit(("a", "tuple"))
