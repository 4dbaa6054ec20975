"""The words of libgpiod for a line."""

from __future__ import annotations

import enum

Direction = enum.Enum("Direction", ["AS_IS", "INPUT", "OUTPUT"])
Edge = enum.Enum("Edge", ["NONE", "RISING", "FALLING", "BOTH"])
Bias = enum.Enum("Bias", ["AS_IS", "UNKNOWN", "DISABLED", "PULL_UP", "PULL_DOWN"])
Clock = enum.Enum("Clock", ["MONOTONIC", "REALTIME", "HTE"])
Value = enum.Enum("Value", ["INACTIVE", "ACTIVE"])
