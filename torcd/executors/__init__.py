"""Executors: the things that run an attempt. `base` is the interface, the rest implement it."""
