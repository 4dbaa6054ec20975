"""A secured site with a real Mosquitto."""

from secured_site import plant

__all__ = ["plant"]
