"""Why an image is refused."""

from diagnosis.errors.base import InputRefused


class ImageRefused(InputRefused):
    """The file that was sent is not an image that can be read."""

    code = "image-refused"
    title = "This file cannot be read as a medical image"


class EmptyFile(ImageRefused):
    """Zero bytes."""

    code = "empty-file"
    title = "The file is empty"
    default_detail = "The file has no content."
    default_remedy = "Choose the image again, or export it once more from where it came."


class FileTooLarge(ImageRefused):
    """More bytes than the limit (25 MB)."""

    code = "file-too-large"
    status = 413
    title = "The file is too large"
    default_detail = "The file is larger than 25 MB."
    default_remedy = "Export the image as a JPEG or PNG of less than 25 MB."


class TooManyPixels(ImageRefused):
    """More pixels than the limit (50 megapixels), declared or real."""

    code = "too-many-pixels"
    status = 413
    title = "The image has too many pixels"
    default_detail = "The image has more than 50 megapixels."
    default_remedy = "Export the image at a lower resolution, below 50 megapixels."


class ImageTooSmall(ImageRefused):
    """Fewer pixels than anything can be seen in."""

    code = "image-too-small"
    title = "The image is too small"
    default_detail = "The image is smaller than 16 by 16 pixels."
    default_remedy = "Send the original image, not a thumbnail or an icon."


class NotAnImage(ImageRefused):
    """The content is no image format at all, whatever the name says."""

    code = "not-an-image"
    status = 415
    title = "The file is not an image"
    default_detail = "The content of this file is not an image, whatever its name says."
    default_remedy = "Send a JPEG, PNG, TIFF, WebP, BMP or DICOM file."


class UnsupportedFormat(ImageRefused):
    """An image, of a format that is not read."""

    code = "unsupported-format"
    status = 415
    title = "This image format is not read"
    default_detail = "This is an image of a format that Sightline does not read."
    default_remedy = "Save it as JPEG, PNG, TIFF, WebP, BMP or DICOM and send that."


class UnsupportedPixels(ImageRefused):
    """A readable format with a kind of pixel that has no safe meaning (floating point, 32 bit)."""

    code = "unsupported-pixels"
    status = 415
    title = "This kind of pixel is not read"
    default_detail = "The image stores its pixels in a way that Sightline does not read."
    default_remedy = "Export it as an 8-bit or 16-bit greyscale, or an 8-bit colour image."


class DamagedImage(ImageRefused):
    """Truncated, or its content contradicts its header."""

    code = "damaged-image"
    title = "The image is damaged or incomplete"
    default_detail = "The image is cut short or damaged and cannot be read to its end."
    default_remedy = "Copy or export the image again; the transfer may have been interrupted."


class DecompressionBomb(ImageRefused):
    """It would unpack to far more than the picture that it declares."""

    code = "decompression-bomb"
    title = "The file unpacks to more than its image"
    default_detail = "The file would unpack to far more data than the image it says it holds."
    default_remedy = "Open the image where it came from and export it again as JPEG or PNG."


class MultiFrameImage(ImageRefused):
    """Animated, multi-page or multi-frame."""

    code = "multi-frame-image"
    title = "The file holds more than one image"
    default_detail = "The file holds several frames or pages; a reading is made of one image."
    default_remedy = "Export the one image to be read as a file of its own."


class DicomWithoutImage(ImageRefused):
    """A DICOM object with no pixel data (a report, a presentation state, a structure set)."""

    code = "dicom-without-image"
    title = "The DICOM file holds no image"
    default_detail = "This DICOM file has no picture in it; it may be a report or an index."
    default_remedy = "Send the image object of the study (CR, DX, MR, CT or US)."


class UnsupportedDicom(ImageRefused):
    """A DICOM image whose transfer syntax or pixel layout is not read."""

    code = "unsupported-dicom"
    status = 415
    title = "This kind of DICOM image is not read"
    default_detail = "This DICOM image is compressed or laid out in a way that is not read."
    default_remedy = "Export it uncompressed, or as JPEG baseline, JPEG 2000 or RLE."


class ImageTooCostly(ImageRefused):
    """Reading it would take more memory or time than one image may."""

    code = "image-too-costly"
    title = "The image takes too much to read"
    default_detail = "Reading this image takes more memory or time than one image may take."
    default_remedy = "Export the image as an ordinary JPEG or PNG, or at a lower resolution."


class ReaderEnded(ImageRefused):
    """The process that read it crashed; it was alone with this image, and is replaced."""

    code = "reader-ended"
    title = "The image cannot be read"
    default_detail = "The program that reads images ended over this file."
    default_remedy = "Open the image where it came from and export it again as JPEG or PNG."
