"""Names for simulated screens: T-cell gene symbols by programme, metabolites as awkward as real ones."""

from __future__ import annotations

from itertools import product


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PROGRAMMES: dict[str, tuple[str, ...]] = {
    "activation": _words(
        "IL2RA CD69 IFNG GZMB MYC TNFRSF9 TNFRSF4 IL2 TNF CD40LG ICOS PDCD1 CTLA4 LAG3 HAVCR2 NR4A1 NR4A3 "
        "EGR1 EGR2 EGR3 IRF4 BATF TBX21 GZMA PRF1 CCL3 CCL4 XCL1 XCL2 CSF2 IL21 IL3 TFRC SLC3A2 SLC7A5 CD38 "
        "TNFRSF18 BCL2L1 FOSL1 BHLHE40"
    ),
    "resting": _words(
        "IL7R CCR7 SELL TCF7 LEF1 KLF2 KLF3 S1PR1 FOXP1 FOXO1 BACH2 TXNIP PIK3IP1 MAL NELL2 LTB SATB1 ACTN1 "
        "AQP3 TSC22D3 PECAM1 IL6ST NOSIP GIMAP5 GIMAP7 RCAN3 FHIT TRABD2A CAMK4 BTG1 ARRDC3 LRRN3"
    ),
    "proliferation": _words(
        "MKI67 TOP2A CDK1 CCNB1 CCNB2 CCNA2 BIRC5 AURKA AURKB PLK1 BUB1 TYMS RRM2 MCM2 MCM3 MCM5 PCNA UBE2C "
        "TPX2 CENPF"
    ),
    "interferon": _words(
        "ISG15 IFIT1 IFIT2 IFIT3 MX1 MX2 OAS1 OAS2 OAS3 IFI6 IFI44 IFI44L RSAD2 USP18 HERC5 XAF1 IRF7 IFIH1 "
        "STAT2 EPSTI1"
    ),
    "stress": _words(
        "ATF3 ATF4 DDIT3 DDIT4 TRIB3 ASNS CHAC1 SESN2 HSPA5 XBP1 HERPUD1 DNAJB9 PPP1R15A HMOX1 NQO1 TXNRD1 "
        "SRXN1 GCLM SLC7A11 MT2A"
    ),
    "sterol": _words(
        "HMGCS1 HMGCR LDLR SQLE INSIG1 IDI1 FDFT1 FDPS SC5D DHCR7 DHCR24 LSS CYP51A1 MSMO1 HSD17B7 NSDHL "
        "SREBF2 MVD MVK STARD4"
    ),
}
"""Genes that rise together with a programme, except `resting`, whose genes fall as cells activate."""

MITOCHONDRIAL_GENES = tuple(
    f"MT-{gene}" for gene in _words("ND1 ND2 ND3 ND4 ND4L ND5 ND6 CO1 CO2 CO3 ATP6 ATP8 CYB")
)
RIBOSOMAL_GENES = _words(
    "RPL3 RPL4 RPL5 RPL6 RPL7 RPL8 RPL10 RPL11 RPL13 RPL14 RPL15 RPL18 RPL19 RPL23 RPL27 RPL32 RPLP0 RPLP1 "
    "RPLP2 RPS2 RPS3 RPS4X RPS5 RPS6 RPS7 RPS8 RPS9 RPS12 RPS14 RPS18 RPS19 RPS23 RPS27 RPSA"
)
HOUSEKEEPING_GENES = _words(
    "ACTB GAPDH B2M EEF1A1 TPT1 TMSB4X PTPRC CD3D CD3E CD3G CD2 CD5 LCK ZAP70 UBC UBB PPIA HPRT1 TBP PGK1 "
    "LDHA ENO1 ALDOA PKM TPI1 CFL1 PFN1 ARPC2 CORO1A HNRNPA1 NPM1 NCL SRSF3 SF3B1 YWHAZ VIM HMGB1 STMN1 "
    "TUBA1B TUBB"
)

FILLER_GENE_FAMILIES = ("ZNF{}", "TMEM{}", "CCDC{}", "FAM{}A", "LINC{:05d}", "KIAA{:04d}", "ANKRD{}", "WDR{}")
"""Families numbered on until there are enough genes."""

AWKWARD_METABOLITES = (
    "2,6-Diaminoheptanedioic acid",
    "β-Alanine",
    "NAD+",
    "NA",
    "N-Acetyl-L-cysteine",
    "17α-Hydroxyprogesterone",
    "γ-Aminobutyric acid",
    "(-)-Epigallocatechin",
    "2'-Deoxyadenosine-5'-monophosphate",
    '"Vitamin K2", MK-4',
    "(R)-3-Hydroxy-4,4-dimethyldihydrofuran-2(3H)-one",
    "5,6-Dimethyl-1H-benzo[d]imidazole",
    "Ω-3 arachidonic acid",
    "L-Tryptophan; free base",
    "5'-DEOXYADENOSINE",
    "Null mutant lipid A",
    "1e-5 Carnosine",
    "ATP",
    "Itaconic acid",
    "Kynurenine",
    "Lactate",
    "Succinate",
    "α-Ketoglutarate",
    "Butyrate",
)
"""Names that break careless readers: commas, quotes, Greek letters, a semicolon, NA, a number at the front."""

_METABOLITE_PREFIXES = ("", "L-", "D-", "(R)-", "(S)-", "(E)-", "(Z)-", "DL-")
_METABOLITE_MODIFIERS = _words(
    "2-Hydroxy 3-Hydroxy 4-Hydroxy 2-Methyl 3-Methyl 2-Oxo N-Acetyl O-Acetyl 2-Amino 4-Amino Deoxy Dehydro "
    "Phospho Homo Nor Iso Glyco Sulfo 5-Methyl 6-Keto"
)
_METABOLITE_BASES = _words(
    "butyric valeric caproic glutaric adipic succinic malonic fumaric cinnamic benzoic ferulic caffeic "
    "salicylic nicotinic picolinic anthranilic cholic lithocholic lauric myristic palmitic stearic oleic "
    "linoleic citric malic tartaric gluconic uronic orotic quinolinic kynurenic indoleacetic phenylacetic "
    "hippuric pantothenic folic retinoic ascorbic shikimic"
)


def metabolite_names(n_metabolites: int) -> list[str]:
    """Return that many different metabolite names, the awkward ones first.

    Raises:
        ValueError: more names are asked for than can be made.
    """
    built = (
        f"{prefix}{modifier}{base} acid"
        for prefix, modifier, base in product(_METABOLITE_PREFIXES, _METABOLITE_MODIFIERS, _METABOLITE_BASES)
    )
    names = [*AWKWARD_METABOLITES, *built]
    if n_metabolites > len(names):
        raise ValueError(
            f"{n_metabolites} metabolites asked for, {len(names)} can be named; use fewer plates."
        )
    return names[:n_metabolites]


def gene_programmes(n_genes: int) -> dict[str, str]:
    """Return that many different gene symbols, each with its programme (`background` for most).

    The programmes shrink in proportion where there is no room for all of them beside as many background genes.

    Raises:
        ValueError: fewer than 24 genes are asked for, which cannot hold every programme.
    """
    if n_genes < 24:
        raise ValueError(
            f"n_genes is {n_genes}; a simulated screen needs at least 24 to hold every programme."
        )
    named = PROGRAMMES | {"mitochondrial": MITOCHONDRIAL_GENES, "ribosomal": RIBOSOMAL_GENES}
    room = min(1.0, 0.75 * n_genes / sum(len(genes) for genes in named.values()))
    chosen = {
        gene: programme
        for programme, genes in named.items()
        for gene in genes[: max(2, int(room * len(genes)))]
    }
    background = [*HOUSEKEEPING_GENES]
    number = 10
    while len(background) + len(chosen) < n_genes:
        background.extend(family.format(number) for family in FILLER_GENE_FAMILIES)
        number += 1
    return chosen | dict.fromkeys(background[: n_genes - len(chosen)], "background")
