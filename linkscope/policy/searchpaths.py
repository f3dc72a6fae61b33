"""What a search path, or another path in a file, leads to: folders of builds and homes, and stores of packages."""

from __future__ import annotations

import posixpath

from linkscope.policy.rule import Fault
from linkscope.policy.subject import Privilege, SearchElement, Subject

# Where files lie while they are built, or in somebody's home, and why that is so. The first that fits counts.
_BUILD_FOLDERS = (
    ("/home/linuxbrew/", None),  # a store, see below
    ("/home/conda/feedstock_root/", "where conda-forge builds packages"),
    ("/home/runner/work/", "where jobs of GitHub Actions work"),
    ("/home/", "somebody's home folder"),
    ("/root/", "root's home folder"),
    ("/Users/", "a home folder of macOS"),
    ("/github/workspace/", "the work folder of GitHub's container actions"),
    ("/__w/", "the work folder of GitHub's container jobs"),
    ("/opt/hostedtoolcache/", "where GitHub's runners keep their tools"),
    ("/builds/", "where GitLab's runners work"),
    ("/build/", "where sbuild, pbuilder and the sandbox of Nix build"),
    ("/builddir/", "where mock and Void's xbps-src build"),
    ("/var/lib/jenkins/", "the home folder of Jenkins"),
    ("/var/lib/buildkite-agent/", "the home folder of Buildkite's agent"),
    ("/var/lib/go-agent/", "the home folder of GoCD's agent"),
    ("/workspace/", "the work folder of Google Cloud Build and of many containers"),
    ("/project/", "where cibuildwheel mounts what it builds"),
    ("/croot/", "where Anaconda builds packages"),
    ("/usr/src/", "a folder for sources"),
    ("/var/tmp/", "a temporary folder, where rpmbuild and Portage build"),
    ("/tmp/", "a temporary folder"),
    ("/dev/shm/", "a temporary folder in memory"),
    ("/run/user/", "a folder that is there while a user is logged in"),
)
# Folders of build tools, wherever they are.
_BUILD_PARTS = (
    ("/.cargo/", "the cache of Cargo"),
    ("/.rustup/", "a toolchain of rustup"),
    ("/.conan/", "the cache of Conan"),
    ("/.conan2/", "the cache of Conan"),
    ("/vcpkg_installed/", "what vcpkg has built"),
    ("/_bazel_", "the work folder of Bazel"),
    ("/CMakeFiles/", "a build folder of CMake"),
)
_STORES = (
    ("/nix/store/", "the store of Nix"),
    ("/gnu/store/", "the store of Guix"),
    ("/home/linuxbrew/.linuxbrew/", "the folder of Homebrew"),
)


_RIGHTS: dict[Privilege, str] = {"setuid": "setuid", "setgid": "setgid", "capabilities": "one with capabilities"}


def build_folder(path: str) -> str | None:
    """What kind of build or home folder PATH leads into, in words; None where it is none, or relative."""
    if not path.startswith("/"):
        return None
    plain = _plain(path)
    for prefix, reason in _BUILD_FOLDERS:
        if plain.startswith(prefix):
            return reason
    return next((reason for part, reason in _BUILD_PARTS if part in plain), None)


def store(path: str) -> str | None:
    """Which store of packages PATH leads into, in words; None where it is none."""
    plain = _plain(path)
    return next((reason for prefix, reason in _STORES if plain.startswith(prefix)), None)


def _plain(path: str) -> str:
    """PATH without `//` and `..`, ending with a slash."""
    return posixpath.normpath("/" + path.lstrip("/")) + "/"


def is_absolute(element: SearchElement) -> bool:
    """Whether the element is a fixed folder, whatever the file's own place is."""
    return element.element.startswith("/")


def from_origin(element: SearchElement) -> bool:
    """Whether the element is taken from the file's own folder."""
    return element.element.startswith(("$ORIGIN", "${ORIGIN}"))


def search_fault(subject: Subject, element: SearchElement, what: str, *evidence: str, grave: bool = True) -> Fault:
    """The fault of one element. grave: it counts for more in a file that gives rights to whoever starts it."""
    message = f"the {element.tag} {what}" + (graver(subject) if grave else "")
    shown = (f"{element.tag} {element.element!r}", *evidence)
    return Fault(element.element, message, shown, grave and bool(subject.privileges))


def graver(subject: Subject) -> str:
    """The end of a message that says what makes a fault graver, "" where nothing does."""
    rights = " and ".join(_RIGHTS[privilege] for privilege in subject.privileges)
    return f"; the file is {rights}" if rights else ""
