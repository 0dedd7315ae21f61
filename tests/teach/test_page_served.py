"""The page, served to this machine alone."""

import http.client
import json
import re
import signal
import subprocess
import sys
import time
from urllib.parse import urlencode

import pytest

from helpers.page_browser import served
from helpers.processes import TIMEOUT
from helpers.scenes import example
from pybackprop.teach.page import html as page


@pytest.fixture
def server():
    with served(example()) as server:
        yield server


def answer(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection(page.HOST, server.server_port, timeout=TIMEOUT)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()


def test_it_is_served_on_the_loopback_address(server):
    assert server.server_address[0] == "127.0.0.1"
    status, body, headers = answer(server, "/")
    assert (status, body.decode()) == (200, page.html_of(example(), served=True))
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer(server, "/index.html?x=1")[0] == 200
    assert answer(server, "/", "HEAD")[:2] == (200, b"")
    for path in ("/page.css", "/../page.py", "/etc/passwd", "/page"):
        assert answer(server, path)[0] == 404, path
    assert answer(server, "/", "POST")[0] == 501


def test_the_served_page_may_ask_its_own_server_only():
    html = page.html_of(example())
    served_page = page.html_of(example(), served=True)
    policy = re.search('content="(default-src[^"]*)"', served_page)[1]
    assert "connect-src 'self'" in policy
    assert served_page.count("fetch(") == 1
    assert "connect-src" not in html
    assert "fetch(" not in html


def test_judge_answers_on_the_served_page(server):
    def judged(tensor, formula):
        status, body, headers = answer(server, f"/judge?{urlencode({'tensor': tensor, 'formula': formula})}")
        assert status == 200
        assert headers["Content-Type"].startswith("application/json")
        return json.loads(body)

    assert judged("w1", "x.T @ l1.g")["ok"] is True
    wrong = judged("w1", "l1.g @ x.T")
    assert wrong["ok"] is False
    assert wrong["summary"]
    assert wrong["hints"]
    assert judged("b1", "l1.g.sum(0)")["ok"] is True
    assert judged("x", "l1.g @ w1.T")["ok"] is True
    assert judged("l1", "l2.g * (l1 > 0)")["ok"] is True
    for tensor, formula in [
        ("w9", "x"),
        ("loss", "1"),
        ("w1", ""),
        ("w1", "x" * 400),
        ("w1", "__import__('os')"),
        ("", ""),
    ]:
        assert set(judged(tensor, formula)) == {"error"}, (tensor, formula)
    assert answer(server, "/judge?tensor=w1&formula=x", Host="example.org")[0] == 403


def test_a_foreign_name_that_leads_here_is_refused(server):
    assert answer(server, "/", Host=f"localhost:{server.server_port}")[0] == 200
    for host in ("example.org", f"example.org:{server.server_port}", "127.0.0.1.example.org", "[::1]:80"):
        status, body, _ = answer(server, "/", Host=host)
        assert status == 403, host
        assert b"scene" not in body


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_it_cleanly():
    command = [sys.executable, "-W", "error", "-m", "pybackprop", "explain", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)/ ", first)[1])
        connection = http.client.HTTPConnection(page.HOST, port, timeout=TIMEOUT)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT)
        connection.close()
    assert process.returncode == 0
    assert (out, err) == ("\n", "")
    assert err == ""


@pytest.mark.parametrize("error", [BrokenPipeError, ConnectionResetError, ConnectionAbortedError, TimeoutError])
def test_a_client_that_leaves_is_not_news(server, capfd, monkeypatch, error):
    def leaves(handler):
        raise error

    monkeypatch.setattr(server.RequestHandlerClass, "do_GET", leaves)
    with pytest.raises((http.client.HTTPException, OSError)):
        answer(server, "/")
    time.sleep(0.1)
    assert capfd.readouterr().err == ""


def test_another_error_is_shown(server, capfd, monkeypatch):
    def fails(handler):
        raise ValueError("something else")

    monkeypatch.setattr(server.RequestHandlerClass, "do_GET", fails)
    with pytest.raises((http.client.HTTPException, OSError)):
        answer(server, "/")
    said = ""
    for _ in range(100):
        said += capfd.readouterr().err
        if "something else" in said:
            return
        time.sleep(0.05)
    raise AssertionError(said)
