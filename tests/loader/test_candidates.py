"""What stands where a library is looked for, and is none: what the real loader does with it is predicted."""

import os
import socket
from pathlib import Path

from linkscope import Assumptions, inspect
from tests.oracle import elfwriter
from tests.oracle.trace import Question, trace


def test_a_socket_ends_the_list_of_folders_and_not_the_search(tmp_path: Path) -> None:
    """open(2) fails with ENXIO: the folders behind it are not tried, LD_LIBRARY_PATH still is."""
    for folder in ("first", "second", "third"):
        (tmp_path / folder).mkdir()
    elfwriter.shared_object(tmp_path / "second" / "liba.so")
    elfwriter.shared_object(tmp_path / "third" / "libb.so")
    for name in ("liba.so", "libb.so"):
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.fspath(tmp_path / "first" / name))
    program = elfwriter.executable(
        tmp_path / "app", needed=("liba.so", "libb.so"), rpath=f"{tmp_path}/first:{tmp_path}/second"
    )
    third = os.fspath(tmp_path / "third")
    answered = trace(program, Question(env={"LD_LIBRARY_PATH": third}))
    assert answered.missing == ["liba.so"]
    predicted = inspect([os.fspath(program)], Assumptions(library_path=third, clean_env=True)).files[0]
    assert [entry.path for entry in predicted.closure] == [entry.path for entry in answered.entries]
