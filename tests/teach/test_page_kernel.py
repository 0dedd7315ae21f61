"""The live page with a real kernel: the messages that a notebook sends, and those that it gets."""

import pytest

pytest.importorskip("anywidget")
pytest.importorskip("ipykernel")
manager = pytest.importorskip("jupyter_client.manager")

SECONDS = 60  # for what takes a fraction of one on an idle machine
WIDGET = "application/vnd.jupyter.widget-view+json"
BEGIN = """
from pybackprop.teach.example import small
import pybackprop as bp
w1 = (kept := small()).tensors["w1"]
"""


class Notebook:
    """A kernel and its client."""

    def __init__(self, client):
        self.client = client

    def until_idle(self, request):
        """The contents of the messages that a request led to, as (type, content)."""
        found = []
        while True:
            message = self.client.get_iopub_msg(timeout=SECONDS)
            if message["parent_header"].get("msg_id") != request:
                continue
            found.append((message["msg_type"], message["content"]))
            if found[-1] == ("status", {"execution_state": "idle"}):
                return found

    def run(self, code):
        found = self.until_idle(self.client.execute(code))
        assert not [content for kind, content in found if kind == "error"], found
        return found

    def tell(self, comm, **message):
        content = {"comm_id": comm, "data": {"method": "custom", "content": {**message, "view": "v"}}}
        sent = self.client.session.msg("comm_msg", content)
        self.client.shell_channel.send(sent)
        return told(self.until_idle(sent["header"]["msg_id"]))


def told(found):
    """What the page is told by custom messages."""
    data = [content["data"] for kind, content in found if kind == "comm_msg"]
    return [data["content"] for data in data if data["method"] == "custom"]


def printed(found):
    return "".join(content["text"] for kind, content in found if kind == "stream")


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    kernel = manager.KernelManager(kernel_name="python3", transport="ipc")  # files: ports may be taken
    kernel.start_kernel()
    client = kernel.client()
    client.start_channels()
    client.wait_for_ready(timeout=SECONDS)
    yield Notebook(client)
    client.stop_channels()
    kernel.shutdown_kernel(now=True)
    kernel.cleanup_resources()


def test_a_notebook_writes_to_tensors_and_follows_them(notebook):
    notebook.run(BEGIN)
    found = notebook.run("bp.explain(w1, at=(3, 7))")
    data = next(content["data"] for kind, content in found if kind == "execute_result")
    assert {"text/plain", "text/html", WIDGET} == set(data)
    comm = data[WIDGET]["model_id"]
    state = next(c["data"]["state"] for kind, c in found if kind == "comm_open" and c["comm_id"] == comm)
    assert state["chosen"] == ["w1", [3, 7]]

    assert notebook.tell(comm, kind="ready") == []
    (answer,) = notebook.tell(comm, kind="write", count=1, changes=[["w1", [3, 7], 0.1]])
    assert (answer["answered"], answer["text"]) == (1, "w1[3,7] is 0.1 in Python too.")
    found = notebook.run("print(repr(w1.data[3, 7]), w1.data[3, 6])")
    assert "0.1" in printed(found).split()[0]
    assert told(found) == [], "nothing changed that the page does not know"

    (news,) = told(notebook.run("w1.data[3, 7] = 0.125"))
    assert (news["view"], news["tensors"]) == ("v", {"w1": {"at": [31], "values": [0.125]}})
    assert told(notebook.run("w1.data[3, 7] = 0.125")) == []


def test_what_is_printed_and_what_is_no_page_stay_text(notebook):
    notebook.run(BEGIN)
    found = notebook.run("print(bp.explain(w1, at=(3, 7)))\nbp.explain(kept.loss)")
    assert printed(found).startswith("w1[3,7] = 1.25")
    data = next(content["data"] for kind, content in found if kind == "execute_result")
    assert set(data) == {"text/plain", "text/html"}
    assert "<iframe" not in data["text/html"]
    assert not [content for kind, content in found if kind == "comm_open"]
