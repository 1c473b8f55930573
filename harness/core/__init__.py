"""What every part shares: errors, plain data types, languages, settings, hashes, paths, logs and the store of finished stages."""

__all__ = ["errors", "hashing", "languages", "logs", "manifests", "paths", "secrets", "settings", "store", "types", "variables", "versions"]
