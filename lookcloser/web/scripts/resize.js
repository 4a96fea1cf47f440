"use strict";
// Pillow's resize of 8-bit images, filter by filter with its rounding, so that a network sees the
// same pixels in the browser as in Python. Rows come in strips: a large photo needs no second copy.

const PRECISION = 22; // bits of a weight behind the point

const FILTERS = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, weight: cubicConvolution },
};

// The kernel with a = -0.5.
function cubicConvolution(distance) {
  const a = -0.5, x = Math.abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

// Which pixels of a line of `from` make each of `to`: {to, starts, counts, weights, width}, the
// weights of pixel i from `width * i` on, in fixed point.
function makeTaps(from, to, interpolation) {
  if (interpolation === "nearest") return nearestTaps(from, to);
  const { support, weight } = FILTERS[interpolation], scale = from / to;
  const stretch = Math.max(scale, 1), reach = support * stretch, width = 2 * Math.ceil(reach) + 1;
  const starts = new Int32Array(to), counts = new Int32Array(to), weights = new Int32Array(to * width);
  for (let i = 0; i < to; i++) {
    const center = (i + 0.5) * scale;
    const start = Math.max(Math.trunc(center - reach + 0.5), 0);
    const count = Math.min(Math.trunc(center + reach + 0.5), from) - start;
    const values = Array.from({ length: count }, (_, k) => weight((k + start - center + 0.5) / stretch));
    const total = values.reduce((sum, value) => sum + value, 0);
    values.forEach((value, k) => { weights[i * width + k] = fixed(total ? value / total : value); });
    starts[i] = start;
    counts[i] = count;
  }
  return { to, starts, counts, weights, width };
}

function nearestTaps(from, to) {
  const step = from / to, starts = new Int32Array(to);
  for (let i = 0, at = step / 2; i < to; i++, at += step) starts[i] = Math.min(Math.trunc(at), from - 1);
  const weights = new Int32Array(to).fill(1 << PRECISION);
  return { to, starts, counts: new Int32Array(to).fill(1), weights, width: 1 };
}

function fixed(weight) {
  return Math.trunc(weight * (1 << PRECISION) + (weight < 0 ? -0.5 : 0.5));
}

function rounded(sum) {
  const value = sum >> PRECISION;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

// Some rows of RGBA pixels -> their rows in `lines` (height, to, 3), from row `top` on.
function squeezeRows(rgba, width, rows, taps, lines, top) {
  const { to, starts, counts, weights } = taps, half = 1 << (PRECISION - 1);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < to; x++) {
      let red = half, green = half, blue = half;
      let from = 4 * (y * width + starts[x]), at = x * taps.width;
      for (let k = counts[x]; k > 0; k--, from += 4, at++) {
        red += rgba[from] * weights[at];
        green += rgba[from + 1] * weights[at];
        blue += rgba[from + 2] * weights[at];
      }
      const place = 3 * ((top + y) * to + x);
      lines[place] = rounded(red);
      lines[place + 1] = rounded(green);
      lines[place + 2] = rounded(blue);
    }
  }
}

// `lines` (height, width, 3) -> (3, to, width), what a network takes.
function squeezeColumns(lines, width, taps) {
  const { to, starts, counts, weights } = taps, half = 1 << (PRECISION - 1);
  const planes = new Float32Array(3 * to * width), row = 3 * width;
  for (let y = 0; y < to; y++) {
    for (let place = 0; place < row; place++) {
      let sum = half, from = starts[y] * row + place, at = y * taps.width;
      for (let k = counts[y]; k > 0; k--, from += row, at++) sum += lines[from] * weights[at];
      const channel = place % 3, x = (place - channel) / 3;
      planes[(channel * to + y) * width + x] = rounded(sum);
    }
  }
  return planes;
}

// A whole image at once: RGBA of `width` × `height` -> (3, size[0], size[1]).
function resizeImage(rgba, width, height, size, interpolation) {
  const lines = new Uint8Array(height * size[1] * 3);
  squeezeRows(rgba, width, height, makeTaps(width, size[1], interpolation), lines, 0);
  return squeezeColumns(lines, size[1], makeTaps(height, size[0], interpolation));
}
