"""torcctl: the command line of torcd."""
