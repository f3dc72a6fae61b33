"""Names of machines: the gABI's EM_ numbers and their names without the prefix, in lower case.

Source: gABI, ELF Header, e_machine; the numbers outside its range are those of Linux (include/uapi/linux/elf-em.h).
"""

from __future__ import annotations

# Each row: a number, and the names of that machine and of those that follow without a gap.
_RUNS = (
    (0, "none m32 sparc 386 68k 88k iamcu 860 mips s370 mips_rs3_le"),
    (15, "parisc"),
    (17, "vpp500 sparc32plus 960 ppc ppc64 s390 spu"),
    (36, "v800 fr20 rh32 rce arm alpha sh sparcv9 tricore arc h8_300 h8_300h h8s h8_500 ia_64 mips_x"),
    (52, "coldfire 68hc12 mma pcp ncpu ndr1 starcore me16 st100 tinyj x86_64 pdsp pdp10 pdp11 fx66 st9plus"),
    (68, "st7 68hc16 68hc11 68hc08 68hc05 svx st19 vax cris javelin firepath zsp mmix huany prism avr fr30"),
    (85, "d10v d30v v850 m32r mn10300 mn10200 pj openrisc arc_compact xtensa videocore tmm_gpp ns32k tpc"),
    (99, "snp1k st200 ip2k max cr f2mc16 msp430 blackfin se_c33 sep arca unicore excess dxp altera_nios2 crx"),
    (115, "xgate c166 m16c dspic30f ce m32c"),
    (131, "tsk3000 rs08 sharc ecog2 score7 dsp24 videocore3 latticemico32 se_c17 ti_c6000 ti_c2000 ti_c5500"),
    (143, "ti_arp32 ti_pru"),
    (160, "mmdsp_plus cypress_m8c r32c trimedia qdsp6 8051 stxp7x nds32 ecog1x maxq30 ximo16 manik craynv2 rx"),
    (174, "metag mcst_elbrus ecog16 cr16 etpu sle9x l10m k10m"),
    (183, "aarch64"),
    (185, "avr32 stm8 tile64 tilepro microblaze cuda tilegx cloudshield corea_1st corea_2nd arc_compact2"),
    (196, "open8 rl78 videocore5 78kor 56800ex ba1 ba2 xcore mchp_pic intel205 intel206 intel207 intel208"),
    (209, "intel209 km32 kmx32 kmx16 kmx8 kvarc cdp coge cool norc csr_kalimba z80 visium ft32 moxie amdgpu"),
    (243, "riscv"),
    (247, "bpf"),
    (252, "csky"),
    (258, "loongarch"),
    (21569, "frv"),
    (36902, "alpha"),
)

MACHINES = {first + place: name for first, names in _RUNS for place, name in enumerate(names.split())}


def machine_name(number: int) -> str:
    """The contract's name for an e_machine (`x86_64`, `386`); the decimal number where it has none."""
    return MACHINES.get(number) or str(number)
