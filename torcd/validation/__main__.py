"""`python -m torcd.validation`: the program that checks. Only torcd.validation itself starts it."""

from torcd.validation.program import main

if __name__ == "__main__":
    main()
