from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from challenge.embedded.valkey import EmbeddedValkey, server_binary, socket_path
from challenge.errors import UsageError


def fake_server(folder: Path, name: str, version: str) -> Path:
    path = folder / name
    path.write_text(f"#!{sys.executable}\nprint('Server v={version} sha=0')\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bin_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_it_prefers_the_server_of_the_system(bin_dir: Path) -> None:
    redis = fake_server(bin_dir, "redis-server", "7.0.15")
    assert server_binary() == (redis, (7, 0))
    valkey = fake_server(bin_dir, "valkey-server", "8.1.3")
    assert server_binary() == (valkey, (8, 1))


def test_it_passes_over_a_server_too_old_for_rq(bin_dir: Path) -> None:
    fake_server(bin_dir, "redis-server", "6.0.16")
    path, version = server_binary()
    assert path.parent != bin_dir
    assert version >= (6, 2)


def test_it_keeps_its_socket_in_the_data_dir() -> None:
    assert socket_path(Path("/srv/challenge")) == Path("/srv/challenge/valkey.sock")


def test_it_gives_a_deep_data_dir_a_private_short_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    deep = tmp_path / ("x" * 100)
    path = socket_path(deep)
    try:
        assert len(os.fsencode(path)) <= 90
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert socket_path(deep) == path != socket_path(deep / "other")
        path.parent.chmod(0o755)
        with pytest.raises(UsageError, match="open to others"):
            socket_path(deep)
    finally:
        path.parent.rmdir()
        socket_path(deep / "other").parent.rmdir()


def test_it_says_which_setting_to_change_when_the_data_dir_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="CHALLENGE_DATA_DIR"):
        EmbeddedValkey(tmp_path / "file")
