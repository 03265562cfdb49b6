"""A Space pushed with the real client of the hub to one on this machine, started there, and asked."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.apps.space.hub import Hub

from wiggly.apps.space import waiting
from wiggly.apps.space.push import push_space
from wiggly.cli import main
from wiggly.errors import ArgumentError, BundleError, SpaceError

FAST = {"timeout": 60.0}

# huggingface_hub itself calls httpx in a way that newer versions of that discourage.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def test_one_commit_a_real_start_and_the_same_answers(
    hub: Hub, bundles: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    pushed = push_space("ada/pets", bundles["category"], **FAST)
    space = hub.spaces["ada/pets"]
    assert len(space.commits) == 1 and space.sdk == "gradio" and not space.private
    assert pushed.commit == space.sha
    assert pushed.examples == len(zipfile_examples(bundles["category"])) > 0
    assert pushed.difference <= 1e-6, "the same runtime on the same machine: only replies are rounded"
    assert pushed.address == f"{hub.address}/spaces/ada/pets"
    assert pushed.address in capsys.readouterr().out
    sent = {line["value"]["path"]: line["key"] for line in space.commits[0]["lines"][1:]}
    assert sent["model.wiggly"] == "lfsFile" and sent["app.py"] == "file"
    assert space.files["model.wiggly"] == bundles["category"].read_bytes()


@pytest.mark.slow
def test_pushed_again_it_is_renewed_and_leftovers_go(hub: Hub, bundles: dict[str, Path]) -> None:
    push_space("ada/one", bundles["table"], **FAST)
    space = hub.spaces["ada/one"]
    space.files["wiggly/old.py"] = b"# of an older push"
    space.files["notes.txt"] = b"the owner's own"
    mark = space.files["space.json"].replace(b'"app.py":', b'"wiggly/old.py": "0", "app.py":')
    space.files["space.json"] = mark
    pushed = push_space("ada/one", bundles["pairs"], **FAST)
    assert len(space.commits) == 2 and pushed.examples == 1
    assert "wiggly/old.py" not in space.files and "notes.txt" in space.files


def test_a_static_space_hands_out_the_model(
    hub: Hub, bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from wiggly.apps import web

    page = {"index.html": b"<title>Model</title>", "app.webmanifest": b"{}", "sw.js": b""}
    built = (Path(web.__file__).parent / "static" / "page" / "index.html").exists()
    if not built:  # by Node
        monkeypatch.setattr(web, "page_files", lambda: page)
    pushed = push_space("ada/still", bundles["category"], static=True, private=True, **FAST)
    space = hub.spaces["ada/still"]
    assert space.sdk == "static" and space.private and pushed.examples == 0
    settings = yaml.safe_load(space.files["README.md"].decode().split("---\n")[1])
    assert settings["sdk"] == "static" and settings["app_file"] == "index.html"
    assert "model/model.onnx" in space.files and "app.py" not in space.files
    if built:
        real = {file.name for file in (Path(web.__file__).parent / "static" / "page").rglob("*.js")}
        assert real and real <= {name.rpartition("/")[2] for name in space.files}
        scripts = re.findall(r'src="\.?/?([^"]+\.js)"', space.files["index.html"].decode())
        assert scripts and set(scripts) <= set(space.files)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["labels", "mask", "points", "boxes", "table", "pairs"])
def test_every_kind_of_model_is_started_and_asked(hub: Hub, bundles: dict[str, Path], kind: str) -> None:
    pushed = push_space(f"ada/{kind}", bundles[kind], **FAST)
    assert pushed.examples == len(zipfile_examples(bundles[kind])) > 0
    assert pushed.difference <= 1e-3


@pytest.mark.slow
def test_a_learner_pushes_itself(hub: Hub, digits_folder: Path) -> None:
    from tests.bundle.support import train_digits

    learn = train_digits(digits_folder, epochs=1)
    pushed = learn.push_to_space("ada/digits", private=True, timeout=60.0)
    space = hub.spaces["ada/digits"]
    assert pushed.commit == space.sha and space.private
    assert pushed.examples > 0 and pushed.difference <= 1e-5
    with zipfile.ZipFile(io.BytesIO(space.files["model.wiggly"])) as opened:
        assert json.loads(opened.read("model.json"))["task"] == "classification"


def test_another_model_there_is_noticed(
    hub: Hub, bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from wiggly.apps.space import push

    other = bundles["labels"].read_bytes()
    hub.tamper = lambda files: {**files, "model.wiggly": other}
    quick = push.check_live
    monkeypatch.setattr(push, "check_live", lambda endpoint, archive: quick(endpoint, archive, 0.0))
    with pytest.raises(SpaceError, match="another model"):
        push_space("ada/pets", bundles["category"], **FAST)


def test_other_answers_are_noticed(hub: Hub, bundles: dict[str, Path]) -> None:
    old = b"round(float(found.probs[index]), PROBABILITY_DIGITS)"
    chance = b"round(probabilities[i].item(), PROBABILITY_DIGITS)"

    def worse(files: dict[str, bytes]) -> dict[str, bytes]:
        replies = files["wiggly/bundle/replies.py"]
        assert old in replies and chance in replies
        return {
            **files,
            "wiggly/bundle/replies.py": replies.replace(chance, b"probabilities[i].item() * 0.9"),
        }

    hub.tamper = worse
    with pytest.raises(SpaceError, match=r"examples/1\.\w+' is 0\.\d+ off"):
        push_space("ada/pets", bundles["category"], **FAST)


# ---- what goes wrong ----


@pytest.mark.parametrize("says_sha", [True, False])
def test_a_failed_build_shows_the_end_of_its_log(hub: Hub, bundles: dict[str, Path], says_sha: bool) -> None:
    hub.final, hub.says_sha = "BUILD_ERROR", says_sha
    hub.log = [f"line {i}\n" for i in range(40)] + ["ERROR: No matching distribution\n"]
    with pytest.raises(SpaceError) as caught:
        push_space("ada/pets", bundles["table"], **FAST)
    told = str(caught.value)
    assert "BUILD_ERROR" in told and "it broke" in told and "No matching distribution" in told
    assert "line 39" in told and "line 20\n" not in told
    assert "GET /api/spaces/ada/pets/logs/build" in hub.asked


def test_a_program_that_ends_is_an_error(hub: Hub, bundles: dict[str, Path]) -> None:
    hub.tamper = lambda files: {**files, "app.py": b"raise SystemExit('no')"}
    hub.script = ["BUILDING"] * 3
    hub.log = ["no\n"]
    with pytest.raises(SpaceError, match="RUNTIME_ERROR"):
        push_space("ada/pets", bundles["table"], **FAST)


def test_paused_and_late(hub: Hub, bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "GRACE", 0.1)
    hub.script, hub.final = [], "PAUSED"
    with pytest.raises(SpaceError, match="it is paused"):
        push_space("ada/pets", bundles["table"], **FAST)
    hub.final = "SLEEPING"
    with pytest.raises(SpaceError, match="it is sleeping"):
        push_space("ada/pets", bundles["table"], **FAST)
    hub.final = "BUILDING"
    with pytest.raises(SpaceError, match=r"within 0\.5 seconds.*it is in BUILDING"):
        push_space("ada/pets", bundles["table"], timeout=0.5)


def test_names_and_tokens(hub: Hub, bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    table = bundles["table"]
    with pytest.raises(ArgumentError, match="user/name"):
        push_space("pets", table)
    with pytest.raises(SpaceError, match=r"right to write there.*namespace"):
        push_space("somebody/pets", table)
    with pytest.raises(SpaceError, match="must be one that the hub knows"):
        push_space("ada/pets", table, token="hf_wrong")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)  # this machine may have one on disk
    with pytest.raises(ArgumentError, match=r"there is none.\nRun `hf auth login`"):
        push_space("ada/pets", table)
    assert not hub.spaces


def test_somebody_elses_space_is_left_alone(hub: Hub, bundles: dict[str, Path]) -> None:
    from tests.apps.space.hub import Space

    files = {"README.md": b"", "app.py": b"print('mine')"}
    hub.spaces["ada/pets"] = Space("gradio", False, dict(files))
    with pytest.raises(SpaceError, match=r"holds other files \(app\.py\)"):
        push_space("ada/pets", bundles["table"])
    assert hub.spaces["ada/pets"].files == files
    hub.spaces["ada/pets"].files = {"README.md": b"", ".gitattributes": b""}
    with pytest.raises(SpaceError, match="is public"):
        push_space("ada/pets", bundles["table"], private=True)


def test_no_bundle(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "no.wiggly").write_text("text")
    with pytest.raises(BundleError, match="another kind"):
        push_space("ada/pets", tmp_path / "no.wiggly")
    assert hub.asked == []


def test_dry_run_asks_nobody(hub: Hub, bundles: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["space", "push", "ada/pets", str(bundles["table"]), "--dry-run", "--private"]) == 0
    told = capsys.readouterr().out
    assert "model.wiggly" in told and "private Space ada/pets" in told and "sdk_version" in told
    assert hub.asked == []


def test_the_command_says_what_went_wrong(
    hub: Hub, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["space", "push", "ada/pets", str(tmp_path / "none.wiggly")]) == 1
    assert "none.wiggly" in capsys.readouterr().err


def test_the_token_goes_nowhere_else(bundles: dict[str, Path]) -> None:
    import http.server
    import threading

    from wiggly.apps.space.live import Endpoint

    seen: list[tuple[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers.get("Authorization")))
            self.send_response(302 if self.path == "/a" else 200)
            self.send_header("Location", "/b")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Endpoint(f"http://127.0.0.1:{server.server_port}", "secret").get("/a")
    server.shutdown()
    server.server_close()
    assert seen == [("/a", "Bearer secret"), ("/b", None)]


def zipfile_examples(bundle: Path) -> list[str]:
    """The example files of a bundle."""
    with zipfile.ZipFile(bundle) as opened:
        return [name for name in opened.namelist() if name.startswith("examples/") and "mask" not in name]
