from cases.conftest import served

__all__ = ["served"]
