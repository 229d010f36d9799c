"""Say in a restored file's metadata that, how and from what it was restored; and read it there."""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.sax.saxutils import quoteattr

from restore.engine.model_file import default_model_path
from restore.scan.metadata.xmp import add_description, decode_packet

SOFTWARE = "old-pictures-restoration"
_NAMESPACES = (
    'xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" '
    'xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"'
)
_EVENT = "{http://ns.adobe.com/xap/1.0/sType/ResourceEvent#}"
_START = "restored with "


@dataclass(frozen=True)
class Provenance:
    """How a file came to be.

    Attributes:
        software: Name and version.
        model: Name of the weights.
        settings: One line.
        when: Moment, with its time zone.
        inputs: What else decides the result, by name: digests of photograph, weights and marks.
    """

    software: str
    model: str
    settings: str
    when: datetime
    inputs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def now(
        cls, software: str, model: str, settings: str, inputs: tuple[tuple[str, str], ...] = ()
    ) -> Provenance:
        """Of this moment, to the second."""
        when = datetime.now(UTC).replace(microsecond=0)
        return cls(software, model, settings, when, inputs)

    @property
    def parameters(self) -> str:
        """What the history says of it."""
        parts = [f"{_START}{self.model.replace(';', ',')}", self.settings]
        return "; ".join([*parts, *(f"{name} {value}" for name, value in self.inputs)])


@dataclass(frozen=True)
class Origin:
    """What a restored file says of how it came to be.

    Attributes:
        model: Name of the weights.
        settings: By name.
        inputs: As in `Provenance`.
    """

    model: str
    settings: dict[str, str]
    inputs: dict[str, str]


def extend_xmp(packet: bytes, provenance: Provenance) -> bytes:
    """Add an entry to the history (xmpMM:History) of an XMP packet.

    Args:
        packet: XMP, or nothing.
        provenance: The entry.

    Returns:
        The longer packet; the packet as it was if it is none that can be extended safely.
    """
    entry = (
        f'<rdf:li {_NAMESPACES} stEvt:action="edited" '
        f"stEvt:softwareAgent={quoteattr(provenance.software)} "
        f"stEvt:when={quoteattr(provenance.when.isoformat())} "
        f"stEvt:parameters={quoteattr(provenance.parameters)}/>"
    )
    description = (
        f'<rdf:Description rdf:about="" {_NAMESPACES}><xmpMM:History><rdf:Seq>{entry}'
        "</rdf:Seq></xmpMM:History></rdf:Description>"
    )
    return add_description(packet, description, entry)


def read_origin(packet: bytes) -> Origin | None:
    """The last entry of ours in a packet's history; None if there is none."""
    text = decode_packet(packet) if packet else None
    if text is None:
        return None
    try:
        root = ET.fromstring(text)
    except (ET.ParseError, ValueError):
        return None
    found = None
    for element in root.iter():
        agent = element.get(f"{_EVENT}softwareAgent") or element.findtext(f"{_EVENT}softwareAgent")
        said = element.get(f"{_EVENT}parameters") or element.findtext(f"{_EVENT}parameters")
        if agent and said and agent.startswith(SOFTWARE) and said.startswith(_START):
            found = _parse(said)
    return found


def _parse(parameters: str) -> Origin:
    model, *rest = parameters.removeprefix(_START).split("; ")
    settings = dict(pair.split(" ", 1) for pair in (rest or [""])[0].split(", ") if " " in pair)
    return Origin(model, settings, dict(pair.split(" ", 1) for pair in rest[1:] if " " in pair))


def digest_weights(path: Path | None) -> str:
    """Digest of a file of weights, by default the package's; empty if it can't be read."""
    try:
        return digest_file(default_model_path() if path is None else path)
    except OSError:
        return ""  # loading it will tell


def digest_file(path: Path) -> str:
    """A digest of a file's content.

    Raises:
        OSError: If it can't be read.
    """
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
