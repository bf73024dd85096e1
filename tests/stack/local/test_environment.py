"""The environment is built where the package index has a certificate authority of its own, with uv as with pip."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from include import settings
from tests.tls import Authority

LOCAL = settings.PROJECT / "include" / "stack" / "local"
UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}") or ""
OF_TOOLS = ("PIP_", "UV_", "SSL_CERT_", "REQUESTS_", "CURL_", "HTTP", "ALL_PROXY", "XDG_", "PYTHON")
SYSTEM_STORE = Path("/etc/ssl/certs/ca-certificates.crt")  # of Debian and its like

pytestmark = pytest.mark.skipif(not UV, reason="there is no uv on this machine")


@dataclass(frozen=True)
class Index:
    """A package index on loopback with one package, `tiny`, and the certificate of the authority behind it."""

    url: str
    authority: Path
    asked: list[str]


def write_wheel(path: Path) -> None:
    files = {
        "tiny.py": "",
        "tiny-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n",
        "tiny-1.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},{len(text)}\n"
        for name, text in files.items()
    )
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in {**files, "tiny-1.dist-info/RECORD": record + "tiny-1.dist-info/RECORD,,\n"}.items():
            wheel.writestr(name, text)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("index")
    authority = Authority(folder, "the authority of a test")
    files = folder / "files" / "simple" / "tiny"
    files.mkdir(parents=True)
    write_wheel(files / "tiny-1-py3-none-any.whl")
    (files / "index.html").write_text('<a href="tiny-1-py3-none-any.whl">tiny-1-py3-none-any.whl</a>')
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            asked.append(self.path)

    context = authority.issue("127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder / "files")) as served:
        served.socket = context.wrap_socket(served.socket, server_side=True, do_handshake_on_connect=False)
        served.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that refuses the certificate
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield Index(f"https://127.0.0.1:{served.server_port}/simple", authority.file, asked)
        served.shutdown()
        thread.join()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The shell's environment with nothing in it for pip, uv or their certificates."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(OF_TOOLS)}
    (tmp_path / "pip.conf").touch()
    home = tmp_path / "home"
    home.mkdir()
    return {**kept, "HOME": str(home), "PIP_CONFIG_FILE": os.devnull, "UV_NO_CACHE": "1", "UV_HTTP_RETRIES": "0"}


def install(
    folder: Path, environment: dict[str, str], *before: str, more: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    words = ["pip", "install", "--no-deps", "--target", str(folder / "packages"), "--python", sys.executable, "tiny"]
    return subprocess.run(
        [*before, "sh", str(LOCAL / "uv.sh"), sys.executable, UV, *words],
        env={**environment, **more},
        capture_output=True,
        text=True,
    )


def pip_conf(folder: Path, **values: str) -> dict[str, str]:
    lines = [f"{name.replace('_', '-')} = {value}\n" for name, value in values.items()]
    (folder / "pip.conf").write_text("[global]\n" + "".join(lines))
    return {"PIP_CONFIG_FILE": str(folder / "pip.conf")}


def test_unknown_authority_is_refused(index: Index, environment: dict[str, str], tmp_path: Path) -> None:
    done = install(tmp_path, environment, more={"UV_DEFAULT_INDEX": index.url})
    assert done.returncode != 0 and "UnknownIssuer" in done.stderr
    assert "deprecated" not in done.stderr


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "pip.conf"])
@pytest.mark.parametrize("mirror", ["UV_DEFAULT_INDEX", "PIP_INDEX_URL", "pip.conf"])
def test_uv_trusts_and_asks_what_pip_does(
    index: Index, environment: dict[str, str], tmp_path: Path, variable: str, mirror: str
) -> None:
    of_pip = {}
    if variable == "pip.conf":
        of_pip["cert"] = str(index.authority)
    if mirror == "pip.conf":
        of_pip["index_url"] = index.url
    more = {variable: str(index.authority), mirror: index.url, **pip_conf(tmp_path, **of_pip)}
    more.pop("pip.conf", None)
    done = install(tmp_path, environment, more=more)
    assert done.returncode == 0 and "warning" not in done.stderr, done.stderr
    assert (tmp_path / "packages" / "tiny.py").exists()


def test_what_is_set_for_uv_wins(index: Index, environment: dict[str, str], tmp_path: Path) -> None:
    elsewhere = "https://127.0.0.1:1/simple"
    ours = {"UV_DEFAULT_INDEX": index.url, "SSL_CERT_FILE": str(index.authority)}
    (tmp_path / "none.pem").touch()
    theirs = {"PIP_INDEX_URL": elsewhere, "PIP_CERT": str(tmp_path / "none.pem")}
    assert install(tmp_path, environment, more={**ours, **theirs}).returncode == 0
    del ours["UV_DEFAULT_INDEX"]
    config = Path(environment["HOME"]) / ".config" / "uv" / "uv.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'[[index]]\nurl = "{index.url}"\ndefault = true\n')
    shutil.rmtree(tmp_path / "packages")
    done = install(tmp_path, environment, more={**ours, **theirs})
    assert done.returncode == 0, done.stderr


def test_uv_trusts_the_store_of_the_system(index: Index, environment: dict[str, str], tmp_path: Path) -> None:
    """In a mount namespace of its own, where the system's store holds the authority and nothing else."""
    bind = f"mount --bind '{index.authority}' {SYSTEM_STORE} && exec \"$@\""
    before = ["unshare", "--map-root-user", "--mount", "sh", "-c", bind, "sh"]
    if not SYSTEM_STORE.exists() or not shutil.which("unshare") or subprocess.run([*before, "true"]).returncode != 0:
        pytest.skip("the system's store can't be replaced for one process here")
    done = install(tmp_path, environment, *before, more={"UV_DEFAULT_INDEX": index.url})
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "packages")
    own = {"UV_DEFAULT_INDEX": index.url, "UV_SYSTEM_CERTS": "0"}
    assert install(tmp_path, environment, *before, more=own).returncode != 0, "the user's choice counts"


BACKEND = """
import zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(f"{folder}/project-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("project-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: project\\nVersion: 1\\n")
        wheel.writestr("project-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("project-1.dist-info/RECORD", "")
    return "project-1-py3-none-any.whl"
"""


def test_environment_is_built_by_uv_from_the_index_of_pip(
    index: Index, environment: dict[str, str], tmp_path: Path
) -> None:
    """environment.sh itself, on a project whose one requirement is the package of the index."""
    project = tmp_path / "project"
    local = project / "include" / "stack" / "local"
    local.mkdir(parents=True)
    (project / "tests").mkdir()
    for name in ("environment.sh", "uv.sh"):
        shutil.copy(LOCAL / name, local)
    for file in (local / "constraints.txt", local / "requirements.txt", project / "tests" / "requirements.txt"):
        file.touch()
    (project / "requirements.txt").write_text("tiny\n")
    (project / "backend.py").write_text(BACKEND)
    (project / "pyproject.toml").write_text(
        '[project]\nname = "project"\nversion = "1"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    python = f"{sys.base_prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    done = subprocess.run(
        ["sh", str(local / "environment.sh"), ".venv", "requirements.txt"],
        cwd=project,
        env={
            **environment,
            **pip_conf(tmp_path, index_url=index.url, cert=str(index.authority)),
            "PATH": f"{Path(UV).parent}{os.pathsep}{environment['PATH']}",
            "PYTHON_FOR_ENV": python,
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "so pip does" not in done.stderr and "error" not in done.stderr.lower(), done.stderr
    subprocess.run([project / ".venv" / "bin" / "python", "-c", "import tiny"], check=True)
