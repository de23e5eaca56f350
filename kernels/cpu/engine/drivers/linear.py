"""A matrix times the vectors of a batch: sixteen lines of the matrix a task."""

from .call import call, load, store


def lines(a, task, scratch):
    """Compute up to sixteen values of each picture.

    a  [kernel, last kernel, pictures a kernel, pictures, w, bytes of a line, lines, x, x_image, y,
       y_image, y_plane, channels a block of y, kernel that activates, bias, its bytes a block,
       lines a kernel]
    """
    first = task * 16
    count = min(16, a[6] - first)
    for lane in range(0, count, a[16]):
        w = a[4] + (first + lane) * a[5]
        image = 0
        while image < a[3]:
            kernel = a[0]
            if image + a[2] > a[3]:
                kernel = a[1]
            to = scratch + image * 64 + lane * 4
            call(kernel, w, a[5], a[7] + image * a[8], a[8], to)
            image += a[2]
    bias = a[14] + task * a[15]
    call(a[13], scratch, bias, 0, scratch, 64, 0, 0, 64, a[3], 1, 0)
    block = a[12]
    for image in range(a[3]):
        for lane in range(count):
            channel = first + lane
            to = a[9] + image * a[10] + channel // block * a[11] + channel % block * 4
            store(to, load(scratch + image * 64 + lane * 4))
