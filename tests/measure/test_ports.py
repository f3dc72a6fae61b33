"""Ports for servers: which are free, who has the others, and how they are tried."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.errors import PortTaken
from linkscope.measure import ports
from linkscope.measure.command import Bounds, Command
from linkscope.measure.ports import LOOPBACK
from linkscope.measure.servers import serve
from tests.measure.marked import command
from tests.process.started import started

FixtureFile = Callable[[str], Path]
BOUNDS = Bounds(timeout=30.0)


def _listening(family: socket.AddressFamily = socket.AF_INET, host: str = "127.0.0.1") -> socket.socket:
    listener = socket.socket(family)
    listener.bind((host, 0))
    listener.listen()
    return listener


def _with_ipv6() -> None:
    if not Path("/proc/net/if_inet6").exists() or "lo" not in Path("/proc/net/if_inet6").read_text():
        pytest.skip("no IPv6 here")


# --- Which port -------------------------------------------------------------------------------------------------------


def test_the_port_that_is_named_stands_for_its_place(fixture_file: FixtureFile) -> None:
    port = ports.ports_for(None, 1)[0]
    for word in ("{port}", str(port)):
        server = command(fixture_file("runs/server-static"), "-p", word)
        assert serve(server, port, (1,), BOUNDS, (1,), 1).server.port == port
    assert ports.is_free(port)


def test_free_ports_are_not_those_from_which_the_kernel_connects() -> None:
    """Who connects to such a port in vain may be given it, and be connected with itself."""
    found = ports.ports_for(None, 50)
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert len(set(found)) == 50
    assert max(found) < lowest
    assert ports.told(Command("server", ("-p{port}", "x")), 81).arguments == ("-p81", "x")


def test_a_port_that_is_named_is_the_first_of_several() -> None:
    port = ports.ports_for(None, 1)[0]
    found = ports.ports_for(port, 3)
    assert found[0] == port
    assert len(set(found)) == 3


def test_two_who_look_for_ports_at_one_time_hardly_ever_find_the_same() -> None:
    """Where the search begins is chance."""
    assert len({ports.ports_for(None, 1)[0] for _ in range(20)}) > 10


def test_a_port_that_somebody_else_has_is_an_error_with_the_holder(fixture_file: FixtureFile) -> None:
    with started([fixture_file("servers/fork"), "-p", "0"]) as other:
        port = other.number("port")
        with pytest.raises(PortTaken) as raised:
            ports.ports_for(port, 1)
        assert str(raised.value) == f"port {port}: is taken already, by fork ({other.pid})"
        assert other.process.poll() is None


def test_nobody_holds_a_port_on_which_nobody_listens() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        assert ports.connected(port) is None
        assert ports.holder_of(port) == ""
        bound.listen()
        assert ports.holder_of(port).endswith(f"({os.getpid()})")
        assert port in ports.listening([os.getpid()])


# --- Whether it takes connections -------------------------------------------------------------------------------------


def test_a_port_that_was_tried_in_vain_is_found_open_later() -> None:
    """With one socket, as often as that is."""
    with socket.socket() as bound, ports.knocking(_reserved(bound), LOOPBACK[:1]) as (knock,):
        for _ in range(100):
            assert knock.answered() is None
        bound.listen()
        for _ in range(2):
            taken = knock.answered()
            assert taken is not None
            with taken, bound.accept()[0] as accepted:
                taken.sendall(b"x")
                assert accepted.recv(1) == b"x"


def _reserved(bound: socket.socket) -> int:
    """A port on which nobody listens, and that nobody else gets."""
    bound.bind(("127.0.0.1", 0))
    return int(bound.getsockname()[1])


def test_nothing_stays_open_of_tries() -> None:
    before = os.listdir("/proc/self/fd")
    with socket.socket() as bound:
        port = _reserved(bound)
        assert ports.connected(port) is None
        assert ports.answering(port) == ()
        bound.listen()
        taken = ports.connected(port)
        assert taken is not None
        taken.close()
        assert ports.answering(port) == LOOPBACK[:1]
    assert os.listdir("/proc/self/fd") == before


def test_a_server_that_takes_no_more_is_not_waited_for_without_end() -> None:
    """Its queue is full, so that the kernel answers to nobody (listen(2))."""
    with socket.socket() as listener:
        port = _reserved(listener)
        listener.listen(0)
        first = ports.connected(port)
        assert first is not None
        with first:
            before = time.monotonic()
            assert ports.connected(port) is None
            assert 0.5 < time.monotonic() - before < 10


def test_on_which_address_somebody_listens_is_found_out() -> None:
    _with_ipv6()
    with _listening(socket.AF_INET6, "::1") as other:
        port = other.getsockname()[1]
        assert ports.answering(port) == LOOPBACK[1:]
        with socket.socket() as first:
            first.bind(("127.0.0.1", port))
            first.listen()
            assert ports.answering(port) == LOOPBACK[:1]
