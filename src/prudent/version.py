"""The version, said once: the package metadata, checkpoints and reports all read it here."""

__version__ = "0.1.0"
