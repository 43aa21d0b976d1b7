"""Structs to text. Pure: what is printed depends on what is given and on nothing else."""
