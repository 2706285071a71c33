"""Paths inside a backup are plain before they go upstream."""

from __future__ import annotations

import pytest

from vprotect_bridge import file_paths

ELSEWHERE = [
    *("", ".", "..", " .. ", "a/b", "a\\b", "nul\0", "%2e%2e", "%252e%252e", "..%2f", "%5c", "caf\ufffd"),
    *("a%00b", "%2E."),
]
ODD = ["hosts", "...", "100%", "a b", "two\nlines", "-rf", "日本語", "\u202egnp.exe", "~", "a%20b"]
NOT_PLAIN = [
    *("etc/hosts", "", "//etc", "/etc//hosts", "/etc/../x", "/./x", "/a\0", "/a\\b", "/" + "x" * 5000),
    "/%2e%2e/x",
]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_names_that_may_lead_elsewhere_are_not_asked_for(name: str):
    assert not file_paths.can_be_asked_for(name)
    with pytest.raises(file_paths.Unsafe):
        file_paths.joined("/etc/", name, is_folder=False)


@pytest.mark.parametrize(
    "name", ["hosts", "...", "100%", "a b", "two\nlines", "-rf", "日本語", "\u202egnp.exe", "~", "a%20b"]
)
def test_odd_names_that_lead_nowhere_else_are_asked_for(name: str):
    assert file_paths.joined("/etc/", name, is_folder=True) == f"/etc/{name}/"


@pytest.mark.parametrize(
    "path",
    ["etc/hosts", "", "//etc", "/etc//hosts", "/etc/../x", "/./x", "/a\0", "/a\\b", "/" + "x" * 5000, "/%2e%2e/x"],
)
def test_a_path_that_is_not_plain_is_not_sent(path: str):
    with pytest.raises(file_paths.Unsafe):
        file_paths.checked(path)
