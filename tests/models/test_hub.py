"""Pushing to a hub: a small HTTP server stands in for it and speaks what huggingface_hub asks."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import pytest
from transformers import AutoModelForCausalLM

from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.models.build import build_model
from palenka_tune.models.export import export_student
from palenka_tune.models.hub import FILES, check_push, push
from palenka_tune.models.presets import ModelPreset

TOKEN = "hf_" + "secret" * 5
ACCOUNT = {
    "type": "user",
    "name": "ada",
    "orgs": [{"type": "org", "name": "analytical"}],
    "auth": {"type": "access_token", "accessToken": {"displayName": "laptop", "role": "write"}},
}


class Hub(ThreadingHTTPServer):
    """What was asked, and what has arrived: `repositories` {name: visibility}, `files` {path: bytes}."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.account, self.lfs, self.refuse = ACCOUNT, False, {}
        self.repositories, self.files, self.objects, self.asked, self.commits, self.cards = {}, {}, {}, [], [], []


class Answers(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *ignored):
        pass

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def serve(self):
        hub, path = self.server, self.path.split("?")[0]
        hub.asked.append((self.command, path, self.headers.get("Authorization")))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for part, status in hub.refuse.items():
            if part in path:  # with the token in the answer, which no message may repeat
                return self.answer(status, {"error": f"refused, {self.headers.get('Authorization')}"})
        if path.startswith("/objects/"):  # the storage of large files: no token goes there
            hub.objects[path.removeprefix("/objects/")] = body
            return self.answer(200, {})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"error": "Invalid credentials"})
        if path == "/api/whoami-v2":
            return self.answer(200, hub.account)
        if path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted['organization']}/{wanted['name']}"
            status = 409 if name in hub.repositories else 200
            hub.repositories.setdefault(name, wanted.get("visibility"))
            return self.answer(status, {"url": f"{hub.address}/{name}"})
        if path == "/api/validate-yaml":  # the model card's front matter
            hub.cards.append(json.loads(body)["content"])
            return self.answer(200, {"errors": [], "warnings": []})
        if "/preupload/" in path:
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if hub.lfs and file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            return self.answer(200, {"files": modes})
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                {**item, "actions": {"upload": {"href": f"{hub.address}/objects/{item['oid']}"}}}
                for item in json.loads(body)["objects"]
            ]
            return self.answer(200, {"transfer": "basic", "objects": objects})
        if "/commit/" in path:
            self.commit([json.loads(line) for line in body.splitlines()])
            name = path.removeprefix("/api/models/").split("/commit/")[0]
            return self.answer(200, {"commitUrl": f"{hub.address}/{name}/commit/c0ffee", "commitOid": "c0ffee"})
        return self.answer(404, {"error": f"no {path} here"})

    do_GET = do_POST = do_PUT = serve

    def commit(self, lines):
        self.server.commits.append(lines[0]["value"])
        for line in lines[1:]:
            value = line["value"]
            content = base64.b64decode(value["content"]) if line["key"] == "file" else self.server.objects[value["oid"]]
            self.server.files[value["path"]] = content


@pytest.fixture
def hub(monkeypatch, tmp_path):
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.address)  # read from HF_ENDPOINT at import
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no-login"))
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def exported(tmp_path_factory, tokenizer_dir):
    preset = ModelPreset("llama", "llama", width=32, layers=2, heads=4, ffn=48, tied=False)
    model = build_model(preset, vocabulary_size=400, pad_id=0, bos_id=1, eos_id=2, window=16, seed=0)
    folder = export_student(model, tokenizer_dir, tmp_path_factory.mktemp("run") / "best", card="# A student\n")
    (folder / "optimizer.pt").write_bytes(b"not for the hub")
    (folder / ".env").write_text(f"HF_TOKEN={TOKEN}\n")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "config.json").write_text("{}")
    return folder


@pytest.mark.parametrize("lfs", [False, True], ids=["small files in the commit", "weights as a large file"])
def test_what_arrives_is_the_export_and_loads(hub, exported, tmp_path, monkeypatch, lfs) -> None:
    hub.lfs = lfs
    # Large files go through Xet storage where its client is installed; the LFS protocol is the one without it.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", lfs)
    assert push(exported, "ada/student") == f"{hub.address}/ada/student"
    assert set(hub.files) == set(FILES)
    for name, content in hub.files.items():
        assert content == (exported / name).read_bytes()
        assert TOKEN.encode() not in content
    assert hub.repositories == {"ada/student": "public"}
    assert len(hub.commits) == 1
    assert set(hub.cards) == {"# A student\n"}
    assert TOKEN not in json.dumps(hub.commits)
    sha256 = hashlib.sha256((exported / "model.safetensors").read_bytes()).hexdigest()
    assert list(hub.objects) == ([sha256] if lfs else [])
    arrived = tmp_path / "arrived"
    arrived.mkdir()
    for name, content in hub.files.items():
        (arrived / name).write_bytes(content)
    assert AutoModelForCausalLM.from_pretrained(arrived, local_files_only=True).config.hidden_size == 32


def test_a_push_to_a_repository_that_is_there_replaces_its_files(hub, exported) -> None:
    hub.repositories["analytical/student"] = "public"
    hub.files = {"README.md": b"old", "notes.txt": b"kept"}
    push(exported, "analytical/student", private=True)
    assert hub.files["README.md"] == b"# A student\n"
    assert hub.files["notes.txt"] == b"kept"


def test_private_is_asked_for(hub, exported) -> None:
    push(exported, "ada/secret", private=True)
    assert hub.repositories == {"ada/secret": "private"}


@pytest.mark.parametrize("name", ["ada/student", "Ada/student.v2", "analytical/palenka_58m"])
def test_the_check_passes_for_an_owner_and_changes_nothing(hub, name) -> None:
    check_push(name)
    assert [path for _, path, _ in hub.asked] == ["/api/whoami-v2"]
    assert hub.repositories == {}


@pytest.mark.parametrize(
    "name", ["student", "ada/", "/student", "a/b/c", "ada/my student", "ada/-x", "ada/x..y", "ada/x.git"]
)
def test_a_name_of_another_form_is_refused_before_anything_is_asked(hub, exported, name) -> None:
    with pytest.raises(UserError, match="give OWNER/NAME"):
        check_push(name)
    with pytest.raises(UserError, match="give OWNER/NAME"):
        push(exported, name)
    assert hub.asked == []


def test_no_token_is_said(hub, exported, monkeypatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    for attempt in (lambda: check_push("ada/student"), lambda: push(exported, "ada/student")):
        with pytest.raises(UserError, match="set HF_TOKEN or run: hf auth login"):
            attempt()
    assert hub.asked == []


def test_the_saved_login_is_found(hub, monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("HF_TOKEN")
    (tmp_path / "no-login").write_text(TOKEN)
    check_push("ada/student")
    assert len(hub.asked) == 1


def test_a_token_that_the_hub_refuses_is_said_without_showing_it(hub, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_outdated")
    with pytest.raises(UserError, match="does not accept the token") as caught:
        check_push("ada/student")
    assert "hf_outdated" not in str(caught.value)


def test_a_token_that_may_only_read_is_refused(hub) -> None:
    hub.account = ACCOUNT | {"auth": {"type": "access_token", "accessToken": {"role": "read"}}}
    with pytest.raises(UserError, match="of ada may only read"):
        check_push("ada/student")


def test_somebody_elses_name_is_refused(hub) -> None:
    with pytest.raises(UserError, match=r"belongs to charles, but .* may push to ada, analytical"):
        check_push("charles/student")


def test_a_hub_in_trouble_is_no_mistake_of_the_user(hub, monkeypatch) -> None:
    hub.refuse = {"whoami": 500}
    with pytest.raises(PalenkaError, match="could not be asked") as caught:
        check_push("ada/student")
    assert not isinstance(caught.value, UserError)
    assert TOKEN not in str(caught.value)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(PalenkaError, match="could not be reached"):
        check_push("ada/student")


def test_a_refused_commit_leaves_the_folder_and_says_so(hub, exported) -> None:
    hub.refuse = {"/commit/": 403}
    before = {path.name: path.read_bytes() for path in exported.iterdir() if path.is_file()}
    with pytest.raises(PalenkaError, match="could not be pushed to ada/student") as caught:
        push(exported, "ada/student")
    assert TOKEN not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in exported.iterdir() if path.is_file()} == before
    assert hub.files == {}


def test_a_folder_that_is_no_export_is_refused(hub, tmp_path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"not an exported student \(model.safetensors, tokenizer.json"):
        push(tmp_path, "ada/student")
    assert hub.asked == []
