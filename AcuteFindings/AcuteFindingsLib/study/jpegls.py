"""JPEG-LS decoded outside Python's lock, so that threads decode side by side: a plug-in for pydicom.

Of the decoders that pydicom knows for compressed images none lets go of the lock while it decodes (measured for
JPEG-LS, JPEG, JPEG 2000 and RLE), so that threads wait for each other. The package ``pyjpegls`` carries CharLS and
calls its C function while it holds the lock; here the same function of the same library is called through `ctypes`,
which does not hold it. Where a system hides the function, ``pyjpegls`` decodes.
"""

import ctypes
from collections.abc import Callable
from functools import cache

from pydicom.pixels import get_decoder
from pydicom.pixels.decoders.base import DecodeRunner
from pydicom.uid import JPEGLSLossless, JPEGLSNearLossless

PLUGIN = "charls-unlocked"
"""Label by which pydicom knows it."""

DECODER_DEPENDENCIES = {uid: ("pyjpegls>=1.2",) for uid in (JPEGLSLossless, JPEGLSNearLossless)}
"""What pydicom names where the plug-in is not available."""

# CharLS's longest message has 114 characters.
_MESSAGE_BYTES = 256


def register() -> None:
    """Make the plug-in known to pydicom; once is enough."""
    for uid in DECODER_DEPENDENCIES:
        decoder = get_decoder(uid)
        if PLUGIN not in decoder.available_plugins and is_available(uid):
            decoder.add_plugin(PLUGIN, (__name__, "decode_frame"))


def is_available(uid: str) -> bool:
    """Whether images of this transfer syntax can be decoded here; asked by pydicom."""
    return uid in DECODER_DEPENDENCIES and _charls() is not None


def decode_frame(src: bytes, runner: DecodeRunner) -> bytearray:
    """Return one frame's pixels in the order of the stream, little endian; called by pydicom.

    Raises
    ------
    RuntimeError
        With CharLS's own words, where the stream is damaged.
    """
    # As pydicom's own plug-in for this library reads it; only the decoding is done elsewhere.
    import _CharLS

    decode = _charls()
    if decode is None:
        raise RuntimeError("CharLS cannot be called here.")
    stream = bytes(src)
    stated = _CharLS.read_header(stream)
    sample_bytes = (stated["bits_per_sample"] + 7) // 8
    pixels = bytearray(stated["width"] * stated["height"] * stated["components"] * sample_bytes)
    message = ctypes.create_string_buffer(_MESSAGE_BYTES)
    target = (ctypes.c_char * len(pixels)).from_buffer(pixels)
    if decode(target, len(pixels), stream, len(stream), None, message):
        raise RuntimeError(f"Decoding error: {message.value.decode('ascii', 'replace')}")
    if stated["components"] > 1:
        runner.set_option("planar_configuration", 1 if stated["interleave_mode"] == 0 else 0)
    runner.set_option("bits_allocated", 8 * sample_bytes)
    return pixels


@cache
def _charls() -> Callable[..., int] | None:
    """Return ``JpegLsDecode`` of the library that pyjpegls carries; None where it is not there or hidden."""
    try:
        import _CharLS

        function = ctypes.CDLL(_CharLS.__file__).JpegLsDecode
    except (ImportError, OSError, AttributeError):
        return None
    # charls/charls_jpegls_decoder.h: target and its size, source and its size, parameters or NULL, message.
    function.argtypes = [
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_char_p,
    ]  # fmt: skip
    function.restype = ctypes.c_int
    return function
