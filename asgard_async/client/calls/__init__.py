"""The client's methods, one module per resource; AsyncAsgardClient combines them."""
