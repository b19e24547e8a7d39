"""One fractal image, compiled: jitter of the system, chaos game in a random window, colours, background.

Integers and IEEE float64 in a fixed order, no fastmath: the same pixels on every machine and for every numba. After Anderson
& Farrell (WACV 2022), section 3; what is ours is listed in `fractals`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vitstudy.data.splitmix import bits, compiled, mix, uniform

Floats = NDArray[np.float64]
State = NDArray[np.uint64]
KNOTS = 4


@compiled
def draw_images(
    maps: Floats, count: NDArray[np.int64], choice: NDArray[np.uint8],
    classes: NDArray[np.int64], instances: NDArray[np.int64],
    key: np.uint64, points: int, brightness: Floats, out: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Fill `out` (n, channels, size, size). `brightness` (points + 1,): log(1 + hits)."""
    size, state = out.shape[2], np.empty(1, np.uint64)
    own, row = np.empty((maps.shape[1], 6)), np.empty(KNOTS)
    path, hits = np.empty((2, points + 8)), np.empty((size, size), np.int32)
    for i in range(len(classes)):
        label = classes[i]
        state[0] = mix(mix(key ^ np.uint64(label)) ^ np.uint64(instances[i]))
        jitter(maps[label], count[label], state, own)
        chaos_game(own, choice[label], points, state, path)
        top = count_hits(path, points, state, hits)
        if out.shape[1] == 1:
            paint_grey(hits, brightness, 1.0 / brightness[top], state, out[i, 0])
        else:
            paint_rgb(hits, brightness, 1.0 / brightness[top], state, out[i])
        for channel in range(out.shape[1]):
            paint_background(hits, 0.4 if out.shape[1] == 1 else 0.6, state, row, out[i, channel])


@compiled
def jitter(maps: Floats, n: int, state: State, own: Floats) -> None:
    """`own` = `maps` with one map scaled by U(0.8, 1.1), yet never to a singular value above 0.999."""
    for i in range(n):  # own[:] = maps would take four seconds more to compile
        for k in range(6):
            own[i, k] = maps[i, k]
    chosen = int(uniform(state, 0.0, float(n)))
    a, b, c, d = own[chosen, 0], own[chosen, 1], own[chosen, 3], own[chosen, 4]
    square, det = a * a + b * b + c * c + d * d, a * d - b * c
    largest = np.sqrt(0.5 * (square + np.sqrt(max(0.0, square * square - 4 * det * det))))
    factor = min(uniform(state, 0.8, 1.1), 0.999 / largest)
    for k in (0, 1, 3, 4):
        own[chosen, k] *= factor


@compiled
def chaos_game(maps: Floats, choice: NDArray[np.uint8], points: int, state: State, path: Floats) -> None:
    """`path` (2, >= points): two orbits, taken in turns, from the fixed point of map 0, which is on the attractor."""
    a, b, e, c, d, f = maps[0, 0], maps[0, 1], maps[0, 2], maps[0, 3], maps[0, 4], maps[0, 5]
    det = (1 - a) * (1 - d) - b * c
    x = p = ((1 - d) * e + b * f) / det
    y = q = (c * e + (1 - a) * f) / det
    for i in range(0, points, 8):
        random = bits(state)
        for j in range(i, i + 8, 2):  # two orbits: the processor works on one while it waits for the other
            m = maps[choice[random & np.uint64(255)]]
            x, y = m[0] * x + m[1] * y + m[2], m[3] * x + m[4] * y + m[5]
            m = maps[choice[(random >> np.uint64(8)) & np.uint64(255)]]
            p, q = m[0] * p + m[1] * q + m[2], m[3] * p + m[4] * q + m[5]
            path[0, j], path[1, j], path[0, j + 1], path[1, j + 1] = x, y, p, q
            random >>= np.uint64(16)


@compiled
def count_hits(path: Floats, points: int, state: State, hits: NDArray[np.int32]) -> int:
    """`hits` (size, size): points per pixel in a random square about the attractor, mirrored or turned; returns the most."""
    size = hits.shape[0]
    xs, ys = path[0, :points], path[1, :points]
    low_x, high_x, low_y, high_y = bounds(xs, ys)
    side = max(high_x - low_x, high_y - low_y, 1e-9) * 1.05 / uniform(state, 0.8, 1.25)
    left = (low_x + high_x - side) / 2 + uniform(state, -0.1, 0.1) * side
    top = (low_y + high_y - side) / 2 + uniform(state, -0.1, 0.1) * side
    scale_x = scale_y = size / side
    start_x, start_y = -left * scale_x, -top * scale_y
    if uniform(state, 0.0, 1.0) < 0.5:
        scale_x, start_x = -scale_x, size - start_x
    if uniform(state, 0.0, 1.0) < 0.5:
        scale_y, start_y = -scale_y, size - start_y
    if uniform(state, 0.0, 1.0) < 0.5:
        xs, ys, scale_x, scale_y, start_x, start_y = ys, xs, scale_y, scale_x, start_y, start_x
    hits.fill(0)
    most = 0
    for i in range(points):
        column, row = xs[i] * scale_x + start_x, ys[i] * scale_y + start_y
        if 0 <= column < size and 0 <= row < size:
            hits[np.uint32(row), np.uint32(column)] += 1
            most = max(most, hits[np.uint32(row), np.uint32(column)])
    return most


@compiled
def bounds(xs: Floats, ys: Floats) -> tuple[float, float, float, float]:
    """Least and greatest x, least and greatest y."""
    low_x = high_x = xs[0]
    low_y = high_y = ys[0]
    for i in range(1, len(xs)):
        low_x = xs[i] if xs[i] < low_x else low_x
        high_x = xs[i] if xs[i] > high_x else high_x
        low_y = ys[i] if ys[i] < low_y else low_y
        high_y = ys[i] if ys[i] > high_y else high_y
    return low_x, high_x, low_y, high_y


@compiled
def paint_grey(hits: NDArray[np.int32], brightness: Floats, scale: float, state: State, out: NDArray[np.uint8]) -> None:
    """Fractal pixels from 0.4 (never darker than the background) to a random top of 0.7 to 1."""
    value = uniform(state, 0.5, 1.0)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            if hits[row, column] > 0:
                bright = 0.4 + 0.6 * value * (brightness[hits[row, column]] * scale)
                out[row, column] = np.uint8(bright * 255.0)


@compiled
def paint_rgb(hits: NDArray[np.int32], brightness: Floats, scale: float, state: State, out: NDArray[np.uint8]) -> None:
    """Hue = density + a random shift, random saturation of 0.3 to 1 and value of 0.5 to 1 (the paper's colours)."""
    shift, saturation, value = uniform(state, 0.0, 1.0), uniform(state, 0.3, 1.0), uniform(state, 0.5, 1.0)
    for row in range(out.shape[1]):
        for column in range(out.shape[2]):
            if hits[row, column] > 0:
                hue = 6.0 * (brightness[hits[row, column]] * scale + shift)
                for channel in range(3):
                    k = 5.0 - 2.0 * channel + hue  # HSV to RGB: k mod 6 for red, green, blue
                    while k >= 6.0:
                        k -= 6.0
                    bright = value - value * saturation * max(0.0, min(k, 4.0 - k, 1.0))
                    out[channel, row, column] = np.uint8(bright * 255.0)


@compiled
def paint_background(hits: NDArray[np.int32], most: float, state: State, line: Floats, out: NDArray[np.uint8]) -> None:
    """Value noise up to `most` where no point fell: 4 x 4 random knots, bilinear between them."""
    size = out.shape[0]
    knots = np.empty((KNOTS, KNOTS))
    for i in range(KNOTS):
        for j in range(KNOTS):
            knots[i, j] = uniform(state, 0.0, most * 255.0)
    step = (KNOTS - 1) / size
    for row in range(size):
        i = int(row * step)
        v = row * step - i
        for j in range(KNOTS):
            line[j] = knots[i, j] * (1 - v) + knots[i + 1, j] * v
        for column in range(size):
            if hits[row, column] == 0:
                j = int(column * step)
                u = column * step - j
                out[row, column] = np.uint8(line[j] * (1 - u) + line[j + 1] * u)
