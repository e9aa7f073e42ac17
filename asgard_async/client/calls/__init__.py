"""What can be asked of the service, a file per resource; AsyncAsgardClient is all of them."""
