"""What all rooms share: errors, plain data types, languages, settings, secrets, hashes, paths, locks, logs and the store of finished
stages."""

__all__ = [
    "errors",
    "hashing",
    "kept_lines",
    "languages",
    "leases",
    "limits",
    "locks",
    "logs",
    "manifests",
    "papers",
    "parallel",
    "paths",
    "progress",
    "secrets",
    "setting_tables",
    "settings",
    "shared_folder",
    "store",
    "times",
    "types",
    "variables",
    "versions",
    "yaml_texts",
]
