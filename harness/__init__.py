"""The engine: suites, data, training and evaluation; knows no method, no benchmark and no HTML."""
