"""torch, which only the extra `proxy` installs: its absence is a message with the command that brings it."""

from corpusmill.pipeline.errors import MissingExtraError

try:
    import torch
except ModuleNotFoundError as error:
    raise MissingExtraError("training proxies", "proxy") from error

__all__ = ["torch"]
