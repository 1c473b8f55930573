"""xlift: train, measure and compare methods that lift a language model's multilingual ability."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("xlift")
