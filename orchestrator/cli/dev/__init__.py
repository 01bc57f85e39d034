"""The local stack of `dev` and `demo`."""
