"""The benchmarks, one or a few related ones in each module."""
