"""Entry points for the executables of the ELF writer: print the link map that the loader has built, and exit with 0.

A program of this code links nothing but what the test asks for, and says itself what a real start has mapped, also
where the loader would not (LD_DEBUG is ignored in secure execution): it walks its dynamic section to DT_DEBUG, goes to
the first object of `r_debug.r_map` (a filtee of the program stands before it, so that trace mode does not show it), and
writes each `l_name`, ended by a NUL, to standard output. The layout of `struct r_debug` and `struct link_map` is what
<link.h> promises to debuggers; glibc and musl keep it alike.
"""

from collections.abc import Callable

X86_64 = """
    488d1d 00000000     lea    _DYNAMIC(%rip),%rbx
    488b03              mov    (%rbx),%rax              # d_tag
    4885c0              test   %rax,%rax
    744e                je     exit
    4883f815            cmp    $DT_DEBUG,%rax
    7406                je     found
    4883c310            add    $16,%rbx
    ebec                jmp    next entry
    488b5b08            mov    8(%rbx),%rbx             # found: d_ptr, a struct r_debug, or 0 without a loader
    4885db              test   %rbx,%rbx
    7439                je     exit
    488b5b08            mov    8(%rbx),%rbx             # r_map
    488b4320            mov    32(%rbx),%rax            # l_prev
    4885c0              test   %rax,%rax
    7405                je     next object
    4889c3              mov    %rax,%rbx
    ebf2                jmp    previous object
    4885db              test   %rbx,%rbx
    7422                je     exit
    488b7308            mov    8(%rbx),%rsi             # l_name
    31d2                xor    %edx,%edx
    803c1600            cmpb   $0,(%rsi,%rdx)
    488d5201            lea    1(%rdx),%rdx
    75f6                jne    next byte
    b801000000          mov    $SYS_write,%eax
    bf01000000          mov    $1,%edi
    0f05                syscall
    488b5b18            mov    24(%rbx),%rbx            # l_next
    ebd9                jmp    next object
    31ff                xor    %edi,%edi                # exit
    b8e7000000          mov    $SYS_exit_group,%eax
    0f05                syscall
"""

I386 = """
    e800000000          call   here
    5e                  pop    %esi                     # here
    81c6 00000000       add    $_DYNAMIC-here,%esi
    8b06                mov    (%esi),%eax              # d_tag
    85c0                test   %eax,%eax
    7442                je     exit
    83f815              cmp    $DT_DEBUG,%eax
    7405                je     found
    83c608              add    $8,%esi
    ebf0                jmp    next entry
    8b7604              mov    4(%esi),%esi             # found: d_ptr, a struct r_debug, or 0 without a loader
    85f6                test   %esi,%esi
    7431                je     exit
    8b7604              mov    4(%esi),%esi             # r_map
    8b4610              mov    16(%esi),%eax            # l_prev
    85c0                test   %eax,%eax
    7404                je     next object
    89c6                mov    %eax,%esi
    ebf5                jmp    previous object
    85f6                test   %esi,%esi
    741f                je     exit
    8b4e04              mov    4(%esi),%ecx             # l_name
    31d2                xor    %edx,%edx
    803c1100            cmpb   $0,(%ecx,%edx)
    8d5201              lea    1(%edx),%edx
    75f7                jne    next byte
    b804000000          mov    $SYS_write,%eax
    bb01000000          mov    $1,%ebx
    cd80                int    $0x80
    8b760c              mov    12(%esi),%esi            # l_next
    ebdd                jmp    next object
    31db                xor    %ebx,%ebx                # exit
    b8fc000000          mov    $SYS_exit_group,%eax
    cd80                int    $0x80
"""

AARCH64 = """
    00000000            adr    x19, _DYNAMIC
    600240f9            ldr    x0, [x19]                # d_tag
    e00200b4            cbz    x0, exit
    1f5400f1            cmp    x0, #DT_DEBUG
    60000054            b.eq   found
    73420091            add    x19, x19, #16
    fbffff17            b      next entry
    730640f9            ldr    x19, [x19, #8]           # found: d_ptr, a struct r_debug, or 0 without a loader
    330200b4            cbz    x19, exit
    730640f9            ldr    x19, [x19, #8]           # r_map
    601240f9            ldr    x0, [x19, #32]           # l_prev
    600000b4            cbz    x0, next object
    f30300aa            mov    x19, x0
    fdffff17            b      previous object
    730100b4            cbz    x19, exit
    610640f9            ldr    x1, [x19, #8]            # l_name
    020080d2            mov    x2, #0
    23686238            ldrb   w3, [x1, x2]
    42040091            add    x2, x2, #1
    c3ffff35            cbnz   w3, next byte
    200080d2            mov    x0, #1
    080880d2            mov    x8, #SYS_write
    010000d4            svc    #0
    730e40f9            ldr    x19, [x19, #24]          # l_next
    f6ffff17            b      next object
    000080d2            mov    x0, #0                   # exit
    c80b80d2            mov    x8, #SYS_exit_group
    010000d4            svc    #0
"""


def _assembled(listing: str) -> bytes:
    """The code of a listing: the hexadecimal digits that stand before its instructions (column 25 on)."""
    return bytes.fromhex("".join(line[:24] for line in listing.splitlines()))


def _lea(distance: int) -> bytes:
    """`lea distance(%rip)`: counted from the instruction's end, 7 bytes in."""
    return b"\x48\x8d\x1d" + (distance - 7).to_bytes(4, "little", signed=True)


def _call_pop_add(distance: int) -> bytes:
    """`call; pop; add`: counted from the address that the call pushes, 5 bytes in."""
    return bytes.fromhex("e8000000005e81c6") + (distance - 5).to_bytes(4, "little", signed=True)


def _adr(distance: int) -> bytes:
    """`adr x19, distance`: the low two bits of the distance are bits 29-30, the rest bits 5-23 (Arm ARM, C6.2.10)."""
    return (0x10000013 | (distance & 3) << 29 | (distance >> 2 & 0x7FFFF) << 5).to_bytes(4, "little")


# e_machine: the code, and what makes its first instructions, which take the address of the dynamic section.
_CODE: dict[int, tuple[bytes, Callable[[int], bytes]]] = {
    62: (_assembled(X86_64), _lea),
    3: (_assembled(I386), _call_pop_add),
    183: (_assembled(AARCH64), _adr),
}


def entry_size(machine: int) -> int:
    """The number of bytes of the entry point for an e_machine; 0 where there is none."""
    return len(_CODE[machine][0]) if machine in _CODE else 0


def entry_point(machine: int, distance: int) -> bytes:
    """The code whose dynamic section lies `distance` bytes behind its own first byte.

    Raises KeyError for a machine that has no code here.
    """
    code, first = _CODE[machine]
    start = first(distance)
    return start + code[len(start) :]
