"""``python -m xlift.harness.cli`` is the ``xlift`` command."""

from xlift.harness.cli import main

if __name__ == "__main__":
    main()
