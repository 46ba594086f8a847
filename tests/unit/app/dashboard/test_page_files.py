"""Files of the page: served with their type, a tag and gzip; nothing else is served."""

import gzip
from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request

from app.dashboard.page_files import INDEX, PAGE_DIRECTORY, PageFiles
from events.rejections import RefusedError

CODE = b"export const a = 1;\n" * 100


@pytest.fixture
def files(tmp_path: Path) -> PageFiles:
    (tmp_path / "secret.txt").write_text("secret")
    static = tmp_path / "static"
    (static / "vendor").mkdir(parents=True)
    (static / INDEX).write_text("<p>")
    (static / "vendor" / "a.js").write_bytes(CODE)
    (static / "odd").write_bytes(b"\0")
    return PageFiles(static)


def ask(files: PageFiles, name: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    answer = files.answer(make_mocked_request("GET", "/", headers=named), name)
    body = answer.body
    return answer.status, body if isinstance(body, bytes) else b"", dict(answer.headers)


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        (INDEX, "text/html; charset=utf-8"),
        ("vendor/a.js", "text/javascript; charset=utf-8"),
        ("odd", "application/octet-stream"),
    ],
)
def test_a_file_has_its_type(files: PageFiles, name: str, content_type: str) -> None:
    status, _, headers = ask(files, name)
    assert (status, headers["Content-Type"]) == (200, content_type)
    assert headers["Cache-Control"] == "no-cache", "a new version is seen at once"


@pytest.mark.parametrize("accepts", ["gzip", "br, GZIP;q=0.5", "deflate,gzip"])
def test_a_client_that_takes_gzip_gets_it(files: PageFiles, accepts: str) -> None:
    _, body, headers = ask(files, "vendor/a.js", Accept_Encoding=accepts)
    assert headers["Content-Encoding"] == "gzip"
    assert len(body) < len(CODE) / 4
    assert gzip.decompress(body) == CODE


@pytest.mark.parametrize("accepts", ["", "br", "gzip;q=0", "gzipped"])
def test_another_client_gets_the_plain_file(files: PageFiles, accepts: str) -> None:
    _, body, headers = ask(files, "vendor/a.js", Accept_Encoding=accepts)
    assert "Content-Encoding" not in headers
    assert body == CODE


@pytest.mark.parametrize("accepts", ["", "gzip"])
def test_a_client_that_has_the_file_gets_304(files: PageFiles, accepts: str) -> None:
    _, _, headers = ask(files, "vendor/a.js", Accept_Encoding=accepts)
    tag = headers["ETag"]
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        assert ask(files, "vendor/a.js", Accept_Encoding=accepts, If_None_Match=known)[:2] == (304, b"")
    assert ask(files, "vendor/a.js", Accept_Encoding=accepts, If_None_Match='"x"')[0] == 200


@pytest.mark.parametrize("name", ["../secret.txt", "vendor", "", "vendor/../index.html", "/etc/passwd", "."])
def test_only_files_of_the_directory_are_served(files: PageFiles, name: str) -> None:
    with pytest.raises(RefusedError) as refused:
        files.answer(make_mocked_request("GET", "/"), name)
    assert refused.value.rejection.status == 404


def test_the_page_loads_nothing_from_other_origins() -> None:
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for path in PAGE_DIRECTORY.rglob("*")
        if path.suffix in (".html", ".css")
    )
    assert text
    assert not [
        word
        for word in ('src="http', "url(http", "@import", '<link rel="stylesheet" href="http')
        if word in text
    ]
