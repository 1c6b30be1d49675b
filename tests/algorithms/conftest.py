"""Everything here runs on one thread."""

from helpers.threads import one_thread  # noqa: F401
