"""placeholder"""
from __future__ import annotations
__all__ = ["ResultCache"]
from typing import Any
class ResultCache:
    def get(self, key: str) -> Any: ...
    def put(self, key: str, result: Any) -> None: ...
