"""XMP packets: made true of the restored photograph, joined with their extension, and split again.

Packets are edited as text, so that what isn't understood stays as it is; an edit that would break
the XML isn't made.
"""

from __future__ import annotations

import hashlib
import re
from xml.parsers import expat

from restore.scan.metadata.areas import Turning, turn_areas

JPEG_MAX_BYTES = 65_502  # what a segment holds beside its length and the name of XMP
_EXTENDED_NOTE = (
    '<rdf:Description rdf:about="" xmlns:xmpNote="http://ns.adobe.com/xmp/note/" '
    'xmpNote:HasExtendedXMP="{guid}"/>'
)
_EMPTY_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">{inside}</rdf:RDF>'
    '</x:xmpmeta><?xpacket end="w"?>'
)
_RDF = re.compile(r"<rdf:RDF\b([^>]*)>(.*)</rdf:RDF>", re.DOTALL)
_HAS_EXTENDED = (
    r"\s+[\w-]+:HasExtendedXMP\s*=\s*([\"'])(.*?)\1",
    r"\s*<([\w-]+:HasExtendedXMP)>(.*?)</\1>",
)


def decode_packet(packet: bytes) -> str | None:
    """A packet as text, whatever Unicode it is in; None if it is none that is well formed."""
    form = "utf-8"
    for start, name in (
        *((b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32")),
        *((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")),
        *((b"<\0\0\0", "utf-32-le"), (b"\0\0\0<", "utf-32-be")),
        *((b"<\0", "utf-16-le"), (b"\0<", "utf-16-be")),
    ):
        if packet.startswith(start):
            form = name
            break
    try:
        text = packet.decode(form)
    except UnicodeDecodeError:
        return None
    text = text.rstrip("\0").removeprefix("\ufeff")
    return text if is_well_formed(text) else None


def is_well_formed(text: str) -> bool:
    """Whether a text is XML, and declares nothing."""
    parser = expat.ParserCreate("utf-8", namespace_separator=" ")

    def refuse(*_: object) -> None:
        raise ValueError

    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(re.sub(r"^\s*<\?xml[^>]*\?>", "", text).encode(), True)
    except (expat.ExpatError, ValueError, UnicodeEncodeError):
        return False
    return True


def set_upright(packet: bytes, turning: Turning) -> tuple[bytes, list[str]]:
    """Make a packet true of the upright photograph; returns it and names of what changed."""
    text = decode_packet(packet)
    if text is None:
        return packet, []
    changed = []
    width, height = turning.size
    edited = text
    if turning.orientation != 1:
        edited = turn_areas(edited, turning)
        if edited != text:
            changed.append("areas")
    edited = _set_property(edited, "tiff:Orientation", "[1-8]", "1")
    for names, value in (
        (("tiff:ImageWidth", "exif:PixelXDimension"), width),
        (("tiff:ImageLength", "exif:PixelYDimension"), height),
    ):
        for name in names:
            edited = _set_property(edited, name, r"\d+", str(value))
    without = re.sub(
        r"\s*<(xmp|xap):Thumbnails\b[^>]*>.*?</\1:Thumbnails>", "", edited, flags=re.DOTALL
    )
    if without != edited:
        edited = without
        changed.append("preview")
    return _encode_if(edited, text, packet), changed


def set_srgb(packet: bytes) -> bytes:
    """Say in a packet that the colours are sRGB now."""
    text = decode_packet(packet)
    if text is None:
        return packet
    edited = _set_property(text, "exif:ColorSpace", r"\d+", "1")
    edited = _set_property(edited, "photoshop:ICCProfile", r"[^<\"']*", "sRGB")
    return _encode_if(edited, text, packet)


def trim(packet: bytes) -> bytes:
    """A packet without the white space that leaves room for edits in place."""
    return re.sub(rb"\s+(<\?xpacket end=)", rb"\n\1", packet.rstrip(b"\0"))


def extended_guid(packet: bytes) -> str:
    """Digest of the extension that a packet announces; empty if it announces none."""
    for pattern in _HAS_EXTENDED:
        found = re.search(pattern.encode(), packet, re.DOTALL)
        if found:
            return found.group(2).strip().decode("ascii", "replace")
    return ""


def forget_extended(packet: bytes) -> bytes:
    """A packet that announces no extension."""
    text = decode_packet(packet)
    if text is None:
        return packet
    edited = text
    for pattern in _HAS_EXTENDED:
        edited = re.sub(pattern, "", edited, flags=re.DOTALL)
    return _encode_if(edited, text, packet)


def join_extended(packet: bytes, extended: bytes) -> bytes | None:
    """A packet and its extension as one; None if they can't be joined."""
    text, more = decode_packet(forget_extended(packet)), decode_packet(extended)
    if text is None or more is None:
        return None
    found, main = _RDF.search(more), _RDF.search(text)
    if found is None or main is None:
        return None
    outer = re.findall(r"xmlns:([\w.-]+)\s*=\s*(\"[^\"]*\"|'[^']*')", more[: found.start(2)])
    names = ""
    for prefix, value in outer:
        if re.search(rf"xmlns:{re.escape(prefix)}\s*=", text[: main.start(2)]):
            continue
        names += f" xmlns:{prefix}={value}"
    joined = (
        text[: main.end(1)] + names + text[main.end(1) : main.end(2)]
        + found.group(2) + text[main.end(2) :]
    )  # fmt: skip
    return joined.encode() if is_well_formed(joined) else None


def split_extended(packet: bytes) -> tuple[bytes, bytes] | None:
    """A small packet that announces an extension, and the extension; None if it can't be split."""
    text = decode_packet(packet)
    if text is None:
        return None
    start, end = text.find("<x:xmpmeta"), text.rfind("</x:xmpmeta>") + len("</x:xmpmeta>")
    if start < 0 or end <= start:
        start, end = text.find("<rdf:RDF"), text.rfind("</rdf:RDF>") + len("</rdf:RDF>")
    if start < 0 or end <= start:
        return None
    extended = text[start:end].encode()
    guid = hashlib.md5(extended, usedforsecurity=False).hexdigest().upper()
    return _EMPTY_PACKET.format(inside=_EXTENDED_NOTE.format(guid=guid)).encode(), extended


def add_description(packet: bytes, description: str, history_entry: str) -> bytes:
    """Add to a packet's history, or a description that begins one; as it was if neither can be."""
    text = decode_packet(packet) if packet else _EMPTY_PACKET.format(inside="")
    if text is None:
        return packet
    history = re.search(r"<xmpMM:History>\s*<rdf:Seq>.*?(?=</rdf:Seq>)", text, re.DOTALL)
    if history:
        edited = text[: history.end()] + history_entry + text[history.end() :]
    else:
        empty = re.search(r"<rdf:RDF\b([^>]*)/>", text)
        if empty:
            text = text[: empty.end() - 2] + "></rdf:RDF>" + text[empty.end() :]
        end = text.rfind("</rdf:RDF>")
        if end < 0:
            return packet
        edited = text[:end] + description + text[end:]
    return edited.encode() if is_well_formed(edited) else packet


def _set_property(text: str, name: str, old: str, new: str) -> str:
    """Set a simple property, be it an attribute or an element."""
    text = re.sub(rf"(\s{name}\s*=\s*[\"']){old}([\"'])", rf"\g<1>{new}\g<2>", text)
    return re.sub(rf"(<{name}>\s*){old}(\s*</)", rf"\g<1>{new}\g<2>", text)


def _encode_if(edited: str, text: str, packet: bytes) -> bytes:
    """The edited packet, if it was edited and is still well formed."""
    return edited.encode() if edited != text and is_well_formed(edited) else packet
