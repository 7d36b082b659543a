"""From the bytes of a file to pixels: which formats, within which limits, and how forgiving.

files.py     a file to its size and to (H, W, 3) uint8, by what it is
header.py    opens a file without decoding it; says what it is when it is not an image
pixels.py    Pillow's image to pixels: every mode, orientation, reduction by a whole factor
levels.py    grey levels of any range to 8 bits         alpha.py      transparency
high_depth.py  colours of more than 8 bits
damaged.py   reads a damaged file with nothing but what its pixels need
uri.py       data: URIs and base64
pages.py     files of several pages                     pdf.py        PDF, in processes of their own
images.py    an image file, in this process             isolated.py   all but PNG and JPEG, in others
child.py     those processes, and their limits
"""

MAX_DECODE_PX = 120_000_000
"""Images beyond this many pixels are refused: Pillow holds 4 bytes per pixel (480 MB), twice while it converts."""

MAX_FILE_BYTES = 1 << 29
"""Image files beyond this (512 MiB) are refused: no image within `MAX_DECODE_PX` needs them."""

FORMATS = ("PNG", "JPEG", "MPO", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "DIB", "JPEG2000", "PPM", "ICO")
"""Pillow's names of the formats that are read. EPS (it starts Ghostscript), WMF, FITS, fonts and films are not."""
