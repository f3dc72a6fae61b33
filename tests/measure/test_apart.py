"""Work in a process of its own: what it gives and says comes here, and whatever ends either ends both."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from linkscope.errors import CannotRun, LinkScopeError, NotElf, NotStarted
from linkscope.measure.apart import apart
from linkscope.measure.leftovers import children_of
from tests.measure.nasty import numbers_in, runs
from tests.process.started import until


def test_the_work_is_done_elsewhere_and_its_result_comes_here() -> None:
    pid, session, number = apart(lambda: (os.getpid(), os.getsid(0), "caf\udce9"))
    assert pid == session != os.getpid()
    assert number == "caf\udce9"
    assert pid not in children_of(os.getpid())


def test_what_it_says_is_heard_here_in_its_order() -> None:
    heard: list[str] = []

    def work(one: Callable[[str], None], other: Callable[[str], None]) -> bytes:
        one("first")
        other("second")
        one("third")
        return bytes(1 << 20)

    assert len(apart(work, heard.append, lambda text: heard.append(text.upper()))) == 1 << 20
    assert heard == ["first", "SECOND", "third"]


@pytest.mark.parametrize(
    "error",
    [NotElf("a", "is a script", "/bin/sh"), NotStarted("b", OSError(2, ""), "a hint"), CannotRun("c", "cannot")],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_raised_here_as_it_was_there(error: LinkScopeError) -> None:
    def fail() -> NoReturn:
        raise error

    with pytest.raises(type(error)) as raised:
        apart(fail)
    assert str(raised.value) == str(error)
    assert vars(raised.value) == vars(error)


def test_a_mistake_is_told_with_the_place_where_it_was_made() -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        apart(lambda: 1 // 0)
    assert "test_apart.py" in raised.value.__notes__[0]


def test_one_that_is_killed_is_no_silence() -> None:
    with pytest.raises(CannotRun, match="was killed by signal 9"):
        apart(lambda: os.kill(os.getpid(), signal.SIGKILL))


_APART = """
import os, sys, time
from linkscope.measure import launch
from linkscope.measure.apart import apart
from linkscope.measure.command import Command
from linkscope.measure.launch import Prepared
from linkscope.measure.leftovers import none_left
def work():
    with none_left(), launch.nowhere() as null:
        pid = launch.spawn(Prepared(Command("/bin/sleep", ("1000",), ())), (null, null, null))
        open(sys.argv[1], "a").write(f"{os.getpid()}\\n{pid}\\n")
        time.sleep(1000)
apart(work)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT, signal.SIGINT, signal.SIGTERM])
def test_whatever_ends_who_waits_ends_the_work_and_what_it_has_started(tmp_path: Path, number: signal.Signals) -> None:
    told = tmp_path / "told"
    told.touch()
    argv = [sys.executable, "-c", _APART, str(told)]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as waiting:
        try:
            until(lambda: len(numbers_in(told)) == 2, "it has started")
            there, started = numbers_in(told)
            waiting.send_signal(number)
            waiting.wait(30)
        finally:
            waiting.kill()
    until(lambda: not runs(there) and not runs(started), "both have ended")


def test_who_misses_that_it_is_to_end_hears_it_again(tmp_path: Path) -> None:
    """As who is about to enter a system call when it is told; and it is not disturbed while it tidies up."""

    def work(say: Callable[[str], None]) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        say("begun")
        signal.sigwait([signal.SIGTERM])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        try:
            time.sleep(1000)
        finally:
            time.sleep(0.5)
            (tmp_path / "tidy").touch()

    def stop(_text: str) -> NoReturn:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apart(work, stop)
    assert (tmp_path / "tidy").exists()


def test_an_interrupt_after_which_something_may_be_left_is_an_error() -> None:
    def work(say: Callable[[str], None]) -> None:
        try:
            say("begun")
            time.sleep(1000)
        except KeyboardInterrupt:
            raise CannotRun("somebody", "cannot be ended") from None

    def stop(_text: str) -> NoReturn:
        raise KeyboardInterrupt

    with pytest.raises(CannotRun, match="may still be there"):
        apart(work, stop)


def test_an_exception_here_waits_until_the_work_has_tidied_up(tmp_path: Path) -> None:
    def work(say: Callable[[str], None]) -> None:
        try:
            say("begun")
            time.sleep(1000)
        finally:
            time.sleep(0.2)
            (tmp_path / "tidy").touch()

    def stop(_text: str) -> NoReturn:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        apart(work, stop)
    assert (tmp_path / "tidy").exists()
