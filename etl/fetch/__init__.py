"""Public databases over the network: what is offered where, and downloads that may be cut off at any point."""
