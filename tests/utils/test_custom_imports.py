from __future__ import annotations

import sys

import pytest

from fastreid.utils.custom_imports import import_custom_modules


@pytest.fixture(autouse=True)
def clean_modules(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_file_and_a_module_are_imported_once(tmp_path):
    file = tmp_path / "my_fastreid_part.py"
    file.write_text("count = []\n")
    (tmp_path / "my_fastreid_package").mkdir()
    (tmp_path / "my_fastreid_package" / "__init__.py").write_text("here = True\n")
    import_custom_modules([str(file), "my_fastreid_package"])
    sys.modules["my_fastreid_part"].count.append(1)
    import_custom_modules([str(file)])
    assert sys.modules["my_fastreid_part"].count == [1]
    assert sys.modules["my_fastreid_package"].here


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"CUSTOM_IMPORTS names .*nowhere\.py"):
        import_custom_modules([str(tmp_path / "nowhere.py")])


def test_a_missing_module_is_named():
    with pytest.raises(ImportError, match="CUSTOM_IMPORTS names the module 'no_such_module_at_all'"):
        import_custom_modules(["no_such_module_at_all"])


def test_a_file_with_the_name_of_another_module_is_refused(tmp_path):
    file = tmp_path / "json.py"
    file.write_text("x = 1\n")
    with pytest.raises(ImportError, match="a module called 'json' exists already"):
        import_custom_modules([str(file)])
