"""The databases that Stackscreen reads: where each can be had, under which terms, and what to do with it then.

Addresses were written down from the sources' own pages and from `jarvis-tools`; sources move, so each can be overridden
with `--url`. No checksum is written down here: Figshare and the Materials Cloud Archive are asked for the MD5 that
they publish, and where nothing is published, later downloads are held against the SHA-256 of the first.
"""

from __future__ import annotations

from dataclasses import dataclass

from etl.fetch.archives import ArchiveFile, FigshareFile, Location
from etl.fetch.content import Layout
from etl.fetch.errors import FetchError


@dataclass(frozen=True, slots=True)
class Offer:
    """One file of a database, or a database that gives out its file on request.

    Attributes:
        name: what `stackscreen fetch` takes; also by its `part_of`, which stands for several files.
        size: roughly, for a person.
        reader: what `stackscreen import` takes.
        file: name of the file on disk.
        location: where it is downloaded from; None where there is no public download.
        obstacle, asking: why there is no download by this command, and how to get the file then.
    """

    name: str
    title: str
    size: str
    licence: str
    citation: str
    page: str
    reader: str
    file: str
    location: Location | None = None
    layout: Layout = Layout.ARRAY
    part_of: str = ""
    obstacle: str = ""
    asking: str = ""


@dataclass(frozen=True, slots=True)
class Provider:
    """An OPTIMADE provider that holds layers.

    Attributes:
        base_url: its address, without the version.
    """

    name: str
    title: str
    base_url: str


_JARVIS = "Choudhary et al., npj Comput. Mater. 6, 173 (2020)"
_JARVIS_PAGE = "https://jarvis-tools.readthedocs.io/en/master/databases.html"
_CC_BY = "CC BY 4.0"
_SEE_PAGE = "as stated on the page"
_NO_DOWNLOAD = "has no public bulk download"
_ASK = "The full data set is given out on request: write to the authors, whom the page names"

OFFERS: tuple[Offer, ...] = (
    Offer(
        name="2dmatpedia",
        title="2DMatPedia: 6,351 exfoliated and substituted layers, optB88-vdW and PBE",
        size="29 MB",
        licence=_SEE_PAGE,
        citation="Zhou et al., Sci. Data 6, 86 (2019)",
        page="https://doi.org/10.6084/m9.figshare.7699910 (the authors' copy of http://www.2dmatpedia.org)",
        reader="2dmatpedia",
        file="2dmatpedia-db.json",
        location=FigshareFile(article=7699910, file=14399918),
        layout=Layout.LINES,
    ),
    Offer(
        name="mc2d-mounet",
        title="MC2D of 2018: 258 easily exfoliable layers with coordinates",
        size="1 MB",
        licence=_CC_BY,
        citation="Mounet et al., Nat. Nanotechnol. 13, 246 (2018)",
        page="https://doi.org/10.24435/materialscloud:az-b2",
        reader="mc2d",
        file="mc2d-mounet-structures.json",
        location=ArchiveFile("10.24435/materialscloud:az-b2", "structures.json"),
        part_of="mc2d",
    ),
    Offer(
        name="mc2d-campi",
        title="MC2D of 2022-2023: properties of some 3,000 layers, without coordinates",
        size="3 MB",
        licence=_CC_BY,
        citation="Campi et al., ACS Nano 17, 11268 (2023)",
        page="https://doi.org/10.24435/materialscloud:36-nd",
        reader="mc2d",
        file="mc2d-campi-structure_2d.json",
        location=ArchiveFile("10.24435/materialscloud:36-nd", "structure_2d.json", newest=True),
        part_of="mc2d",
    ),
    Offer(
        name="jarvis-dft-2d",
        title="JARVIS-DFT: 1,100 layers, optB88-vdW with TB-mBJ and HSE06 gaps",
        size="a few MB",
        licence=_SEE_PAGE,
        citation=_JARVIS,
        page="https://doi.org/10.6084/m9.figshare.6815705",
        reader="jarvis",
        file="jarvis-dft_2d.json.zip",
        location=FigshareFile(article=6815705, file=38521268),
        part_of="jarvis",
    ),
    Offer(
        name="jarvis-2dmatpedia",
        title="2DMatPedia in JARVIS's form (`twod_matpd`)",
        size="a few MB",
        licence=_SEE_PAGE,
        citation=f"Zhou et al., Sci. Data 6, 86 (2019); {_JARVIS}",
        page="https://doi.org/10.6084/m9.figshare.14205083",
        reader="jarvis",
        file="jarvis-twod_matpd.json.zip",
        location=FigshareFile(article=14205083, file=26789006),
        part_of="jarvis",
    ),
    Offer(
        name="jarvis-c2db",
        title="C2DB of 2018-2019 in JARVIS's form (`c2db`): 3,500 layers",
        size="a few MB",
        licence=_SEE_PAGE,
        citation=f"Haastrup et al., 2D Mater. 5, 042002 (2018); {_JARVIS}",
        page=_JARVIS_PAGE,
        reader="jarvis",
        file="jarvis-c2db_atoms.json.zip",
        location=FigshareFile(article=14960157, file=28682010),
        part_of="jarvis",
    ),
    Offer(
        name="c2db",
        title="C2DB: 17,000 layers with up to 100 properties each",
        size="GB",
        licence="as stated by the authors (CC BY 4.0 for the published releases)",
        citation="Haastrup et al., 2D Mater. 5, 042002 (2018); Gjerding et al., 2D Mater. 8, 044002 (2021)",
        page="https://2dhub.org/c2db/c2db.html",
        reader="c2db",
        file="c2db.db",
        obstacle=f"C2DB {_NO_DOWNLOAD}",
        asking=f"{_ASK}. Until then, `stackscreen fetch jarvis-c2db` has an early release of it.",
    ),
    Offer(
        name="bidb",
        title="BiDB: 9,600 stacked homobilayers with binding energies",
        size="GB",
        licence="as stated by the authors",
        citation="Pakdel et al., Nat. Commun. 15, 932 (2024)",
        page="https://2dhub.org",
        reader="bidb",
        file="bidb.db",
        obstacle=f"BiDB {_NO_DOWNLOAD}",
        asking=f"{_ASK}.",
    ),
    Offer(
        name="hetdb",
        title="HetDB: 270 relaxed moiré heterobilayers",
        size="MB",
        licence="as stated by the authors",
        citation="Sauer et al., Phys. Rev. Mater. 9 (2025)",
        page="https://2dhub.org",
        reader="hetdb",
        file="hetdb.db",
        obstacle=f"HetDB {_NO_DOWNLOAD}",
        asking=f"{_ASK}.",
    ),
    Offer(
        name="v2db",
        title="V2DB: machine-learned predictions for 316,000 layers, without structures",
        size="tens of MB",
        licence=_SEE_PAGE,
        citation="Sorkun et al., npj Comput. Mater. 6, 106 (2020)",
        page="https://doi.org/10.7910/DVN/SNCZF4",
        reader="v2db",
        file="v2db.csv",
        obstacle="V2DB is downloaded by hand, from Harvard Dataverse",
        asking="Choose the table in its original format, .csv, on the page.",
    ),
)

PROVIDERS: tuple[Provider, ...] = (
    Provider("mc2d", "MC2D, with the relaxed structures", "https://optimade.materialscloud.org/main/mc2d"),
    Provider("2dtopo", "2D topological insulators", "https://optimade.materialscloud.org/main/2dtopo"),
    Provider("2dmatpedia", "2DMatPedia", "http://optimade.2dmatpedia.org"),
    Provider("c2db", "C2DB, of the Computational Materials Repository", "https://cmr-optimade.fysik.dtu.dk"),
    Provider("jarvis", "JARVIS-DFT, layers and bulk", "https://jarvis.nist.gov/optimade/jarvisdft"),
    Provider("alexandria", "Alexandria PBE, bulk", "https://alexandria.icams.rub.de/pbe"),
)

OPTIMADE = "optimade"
"""What `stackscreen fetch` takes for the providers above, and what `stackscreen import` takes for their files."""


def choose(name: str) -> tuple[Offer, ...]:
    """The offers of that name, or those that are part of it.

    Raises:
        FetchError: there is none.
    """
    chosen = tuple(offer for offer in OFFERS if name and name in {offer.name, offer.part_of})
    if not chosen:
        names = dict.fromkeys(n for offer in OFFERS for n in (offer.part_of, offer.name) if n)
        raise FetchError(
            f"There is no source called {name!r} to fetch.", hint=f"Choose one of {', '.join([*names, OPTIMADE])}."
        )
    return chosen
