"""Keeping freed memory is an optimisation: it works on glibc and is harmless elsewhere."""

import platform

import pytest

from prudent.engine import process


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_glibc_takes_the_thresholds():
    assert process.keep_freed_memory()
    assert process.keep_freed_memory()


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(process.sys, "platform", "darwin")
    assert not process.keep_freed_memory()


def test_another_c_library(monkeypatch):
    def missing(_name):
        raise OSError("no libc.so.6")

    monkeypatch.setattr(process.sys, "platform", "linux")
    monkeypatch.setattr(process.ctypes, "CDLL", missing)
    assert not process.keep_freed_memory()
    monkeypatch.setattr(process.ctypes, "CDLL", lambda _name: object())
    assert not process.keep_freed_memory()
