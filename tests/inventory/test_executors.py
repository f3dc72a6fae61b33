"""Work divided among processes gives the same results in the same order, and leaves nothing behind."""

import os
import subprocess
import sys

import pytest

from linkscope.inventory.executors import in_processes


def _doubled(number: int) -> bytes:
    return str(number * 2).encode() * (1 + number % 3 * 40_000)


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 5, 100])
def test_results_come_in_the_order_of_the_items(count: int, workers: int) -> None:
    """Whatever the number of processes, and with results larger than a pipe holds."""
    assert list(in_processes(_doubled, range(count), workers, lambda number: number)) == [
        _doubled(number) for number in range(count)
    ]


def test_the_work_is_done_in_other_processes() -> None:
    """Each item by one of as many processes as were asked for."""
    seen = {
        int(frame or 0)
        for frame in in_processes(lambda _: str(os.getpid()).encode(), range(20), 2, lambda number: number // 3)
    }
    assert len(seen) == 2
    assert os.getpid() not in seen


def test_processes_end_when_nobody_takes_the_results_any_more() -> None:
    """As when the reader of our output goes away."""
    results = in_processes(lambda _: str(os.getpid()).encode() + b" " * 100_000, range(1000), 2, lambda number: number)
    process = int(next(results) or 0)
    results.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_an_item_that_ends_its_process_costs_no_other_item(workers: int) -> None:
    """Its own result is None, and another process goes on with the next one."""

    def dies(number: int) -> bytes:
        if number in (0, 7, 8, 19):
            os._exit(3)
        return b"%d" % number

    expected = [None if number in (0, 7, 8, 19) else b"%d" % number for number in range(20)]
    assert list(in_processes(dies, range(20), workers, lambda number: number * number)) == expected


def test_many_files_give_the_same_answer_as_one_by_one() -> None:
    """The division is not seen in the output."""
    folder = "/usr/bin"
    paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder))[:300]]
    script = (
        "import sys, msgspec\n"
        "from linkscope.analysis.inspect import inspect_each\n"
        "from linkscope.analysis.request import Assumptions, Depth\n"
        "paths = sys.stdin.read().split()\n"
        "for one in inspect_each(paths, Assumptions(), Depth(), int(sys.argv[1])):\n"
        "    print(msgspec.json.encode(one).decode())\n"
    )
    answers = [
        subprocess.run(
            [sys.executable, "-c", script, workers], input="\n".join(paths), capture_output=True, text=True, check=True
        ).stdout
        for workers in ("1", "3")
    ]
    assert answers[0] == answers[1]
    assert answers[0].count("\n") == len(paths)
