"""Fixtures of the system tests."""

from system_site import embedded_site, site

__all__ = ["embedded_site", "site"]
