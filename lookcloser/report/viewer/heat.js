"use strict";
// Maps and boxes as plain numbers: no document here. Boxes are [x0, y0, x1, y1] as fractions of the
// image; maps are rows of values in [0, 1].

// One byte a value, base64 -> {w, h, values}.
function decodeGrid(grid) {
  const bytes = atob(grid.data);
  const values = Float32Array.from(bytes, (byte) => byte.charCodeAt(0) / 255);
  return { w: grid.w, h: grid.h, values };
}

// Bilinear, with the centers of the cells half a cell from the edge (align_corners=False).
function upsample(map, w, h) {
  const columns = neighbors(map.w, w), rows = neighbors(map.h, h);
  const values = new Float32Array(w * h);
  for (let y = 0; y < h; y++) {
    const [above, below, down] = rows[y];
    for (let x = 0; x < w; x++) {
      const [left, right, across] = columns[x];
      const top = mix(map.values[above * map.w + left], map.values[above * map.w + right], across);
      const bottom = mix(map.values[below * map.w + left], map.values[below * map.w + right], across);
      values[y * w + x] = mix(top, bottom, down);
    }
  }
  return { w, h, values };
}

function neighbors(from, to) {
  return Array.from({ length: to }, (_, index) => {
    const at = Math.min(Math.max(((index + 0.5) * from) / to - 0.5, 0), from - 1);
    const low = Math.floor(at);
    return [low, Math.min(low + 1, from - 1), at - low];
  });
}

function mix(a, b, share) {
  return a + (b - a) * share;
}

// Which values reach `threshold` times the maximum; null for a map without evidence.
function keep(map, threshold) {
  const most = map.values.reduce((a, b) => Math.max(a, b), 0);
  return most > 0 ? Uint8Array.from(map.values, (value) => value >= threshold * most) : null;
}

// The box of the largest 8-connected component of a mask, or null where the mask is empty.
function largestBox(mask, w, h) {
  const seen = new Uint8Array(mask.length);
  let best = null, most = 0;
  for (let start = 0; start < mask.length; start++) {
    if (!mask[start] || seen[start]) continue;
    const stack = [start];
    let count = 0, x0 = w, y0 = h, x1 = 0, y1 = 0;
    seen[start] = 1;
    while (stack.length) {
      const at = stack.pop(), x = at % w, y = (at - x) / w;
      count++;
      x0 = Math.min(x0, x); x1 = Math.max(x1, x + 1);
      y0 = Math.min(y0, y); y1 = Math.max(y1, y + 1);
      for (let ny = Math.max(y - 1, 0); ny <= Math.min(y + 1, h - 1); ny++) {
        for (let nx = Math.max(x - 1, 0); nx <= Math.min(x + 1, w - 1); nx++) {
          const next = ny * w + nx;
          if (mask[next] && !seen[next]) { seen[next] = 1; stack.push(next); }
        }
      }
    }
    if (count > most) { most = count; best = [x0 / w, y0 / h, x1 / w, y1 / h]; }
  }
  return best;
}

// Intersection over union; the same in fractions as in pixels.
function overlap(a, b) {
  const side = (i) => Math.max(0, Math.min(a[i + 2], b[i + 2]) - Math.max(a[i], b[i]));
  const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);
  const shared = side(0) * side(1), union = area(a) + area(b) - shared;
  return union > 0 ? shared / union : 0;
}

// Red, green, blue of a value in [0, 1] from a table of evenly spaced colors.
function colorAt(table, value) {
  const at = Math.min(Math.max(value, 0), 1) * (table.length - 1);
  const low = Math.min(Math.floor(at), table.length - 2);
  return table[low].map((part, channel) => mix(part, table[low + 1][channel], at - low));
}
