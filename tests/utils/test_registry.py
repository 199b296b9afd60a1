from __future__ import annotations

import pytest

from fastreid.utils.registry import Registry


def test_register_as_decorator_and_as_call():
    registry = Registry("THING")

    @registry.register()
    class First: ...

    def second(): ...

    assert registry.register(second) is second
    assert registry.get("First") is First
    assert registry.get("second") is second
    assert sorted(registry) == ["First", "second"]
    assert "First" in registry
    assert "Third" not in registry
    assert len(registry) == 2


def test_a_name_is_taken_once():
    registry = Registry("THING")
    registry.register(test_a_name_is_taken_once)
    with pytest.raises(AssertionError, match="'test_a_name_is_taken_once' is already registered"):
        registry.register(test_a_name_is_taken_once)


def test_an_unknown_name_lists_what_there_is_and_the_nearest():
    registry = Registry("THING")
    registry.register(test_a_name_is_taken_once)
    with pytest.raises(
        KeyError, match=r"THING: no 'test_a_name_is_taken'\. Did you mean 'test_a_name_is_taken_once'\?"
    ):
        registry.get("test_a_name_is_taken")
    with pytest.raises(KeyError, match=r"no 'x'\. Registered: nothing\."):
        Registry("EMPTY").get("x")
