"""Logging in and out (API reference, 4)."""

from __future__ import annotations

import pytest

from tests.simulator.conftest import DirectClient


def test_a_login_tells_who_and_how(direct: DirectClient):
    info = direct.log_in().data
    assert info["requester"]["name"] == "portal-svc" and info["appUserSettings"]["pageSize"] == 25
    assert "VE_BACKUP_SLA_WRITE" in {privilege["name"] for privilege in info["privileges"]}
    assert "lastSuccessfulLogin" not in info and "lastSuccessfulLogin" in direct.log_in().data


def test_what_one_asks_for_is_by_the_one_who_asks(direct: DirectClient):
    requester = direct.log_in().data["requester"]
    origin = direct.export(direct.get("/virtual-machines?nameLike=web")[0]["guid"])["originEntity"]
    assert (origin["guid"], origin["type"]["name"]) == (requester["guid"], "USER")


def test_a_token_opens_a_session_if_there_is_one(direct: DirectClient):
    assert direct.call("POST", "/session/login-with-token", {"token": "wrong"}).status == 401
    assert direct.call("POST", "/session/login-with-token", {"token": "a token for tests"}).status == 201
    direct.api._secrets["/session/login-with-token"] = ""
    assert direct.call("POST", "/session/login-with-token", {"token": ""}).status == 401


@pytest.mark.parametrize("way", [("POST", "/session/logout"), ("GET", "/session/logout"), ("DELETE", "/session")])
def test_every_way_out_ends_the_session(way: tuple[str, str], direct: DirectClient):
    direct.log_in()
    assert direct.call("GET", "/session").status == 204
    assert direct.call(*way).status == 204
    assert direct.call("GET", "/session").status == 401


@pytest.mark.parametrize("body", [None, [], "text", {"username": "portal-svc", "password": "x"}, {"login": 1}])
def test_nobody_gets_in_with_nonsense(body: object, direct: DirectClient):
    assert direct.call("POST", "/session/login", body).status == 401
