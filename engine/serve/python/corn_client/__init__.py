"""Asks what Corn serves.

>>> from corn_client import Client
>>> with Client("localhost:8001") as corn:
...     print(corn.call("chat", prompt="Name three colours")["reply"])
"""

from .client import Answer, Client, CornError, Stream
from .values import Audio, Video

__all__ = ["Answer", "Audio", "Client", "CornError", "Stream", "Video"]
