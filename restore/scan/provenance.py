"""Say in a restored file's metadata that, how and when it was restored."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.sax.saxutils import quoteattr

_EMPTY_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"></rdf:RDF>'
    '</x:xmpmeta><?xpacket end="w"?>'
)
_NAMESPACES = (
    'xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" '
    'xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"'
)


@dataclass(frozen=True)
class Provenance:
    """How a file came to be.

    Attributes:
        software: Name and version.
        model: Name of the weights.
        settings: One line.
        when: Moment, with its time zone.
    """

    software: str
    model: str
    settings: str
    when: datetime

    @classmethod
    def now(cls, software: str, model: str, settings: str) -> Provenance:
        """Of this moment, to the second."""
        return cls(software, model, settings, datetime.now(UTC).replace(microsecond=0))


def extend_xmp(packet: bytes, provenance: Provenance) -> bytes:
    """Add an entry to the history (xmpMM:History) of an XMP packet.

    Args:
        packet: XMP, or nothing.
        provenance: The entry.

    Returns:
        The longer packet; the packet as it was if it is none that can be extended safely.
    """
    text = _decode(packet) if packet else _EMPTY_PACKET
    if text is None:
        return packet
    entry = (
        f'<rdf:li {_NAMESPACES} stEvt:action="edited" '
        f"stEvt:softwareAgent={quoteattr(provenance.software)} "
        f"stEvt:when={quoteattr(provenance.when.isoformat())} "
        f"stEvt:parameters={quoteattr(f'restored with {provenance.model}; {provenance.settings}')}"
        "/>"
    )
    history = re.search(r"<xmpMM:History>\s*<rdf:Seq>.*?(?=</rdf:Seq>)", text, re.DOTALL)
    if history:
        return (text[: history.end()] + entry + text[history.end() :]).encode()
    end = text.rfind("</rdf:RDF>")
    if end < 0:
        return packet
    description = (
        f'<rdf:Description rdf:about="" {_NAMESPACES}><xmpMM:History><rdf:Seq>{entry}'
        "</rdf:Seq></xmpMM:History></rdf:Description>"
    )
    return (text[:end] + description + text[end:]).encode()


def set_upright(packet: bytes) -> bytes:
    """Say in an XMP packet that the pixels need no turning."""
    packet = re.sub(rb'(tiff:Orientation=["\'])[1-8](["\'])', rb"\g<1>1\g<2>", packet)
    return re.sub(rb"(<tiff:Orientation>)[1-8](</)", rb"\g<1>1\g<2>", packet)


def _decode(packet: bytes) -> str | None:
    try:
        return packet.decode("utf-8").rstrip("\0")
    except UnicodeDecodeError:
        return None
