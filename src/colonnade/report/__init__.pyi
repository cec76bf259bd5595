from .page import (
    PageSection as PageSection,
    read_images as read_images,
    write_page as write_page,
    write_report as write_report,
)
from .sections import Image as Image
