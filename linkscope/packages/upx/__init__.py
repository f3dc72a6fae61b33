"""Programs and libraries packed by UPX: what they were before, worked out in memory. Nothing of them is executed.

A packed file is a container as an archive is, with one member, and is read under the same limits; what is in the member
is for others to say. This is how it is laid out, in the file's own byte order but for the magic:

    ELF header, program headers     of what the kernel sees: the stub
    l_info   12 bytes   checksum of the stub | UPX! | size of the stub (2) | version of this layout | format
    p_info   12 bytes   program (0) | size of the original file | size of the largest block
    blocks              each behind its b_info: size unpacked | size packed | method | filter | its parameter | unused
                        first the original ELF header and program headers, then each PT_LOAD in turn, without those
    stub                filled up to a multiple of 4 or 8
    blocks              what no PT_LOAD has: section headers, debug information, what was appended
    b_info              sizes 0 and UPX!: the end
    PackHeader  32 bytes and 4: the place of p_info

Of a shared library everything below its first executable section stays where it is, since the loader reads it before
the stub runs, and so do the segments that are written to, which are moved down; l_info stands in between. A block that
does not become smaller is stored as it is, its method being 0.

Source: UPX src/p_unix.h and p_unix.cpp (the structures), src/p_lx_elf.cpp (pack1 to pack4, unpack, un_shlib_1),
src/packhead.cpp; read at version 4.2.3, and tried on files of 3.96 and 4.2.4.
"""
