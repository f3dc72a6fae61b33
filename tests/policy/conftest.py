"""What the tests of rules take from those of single files: real files out of Debian packages."""

from tests.elf.conftest import unpacked as unpacked
