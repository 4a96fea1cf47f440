"use strict";
// From the arrays of a network to a prediction, as `lookcloser.runtime` makes it, in the form of
// `Prediction.to_dict`. A map is {w, h, values}; sizes are [width, height].

const LIKELY = 0.5 - 1e-6; // as probable as all else together, but for rounding
const ROUNDING = 1e-5; // of a threshold: how far below it values are above it but for rounding
const SUMS = 1e-8; // what sums of probabilities lose to rounding
const LEAST_COVERAGE = 50; // percent, of the first quantile; each of the others is one percent more
const PIXEL_CLIP = 0.99; // of maps by pixel: the quantile of the evidence that becomes 1

// found: {logits, tokens, tokenScores, maps, boxes, parts, distance}; see `predictionOf`'s callers.
// coverage: a share in whole percents, of a calibrated classifier only.
function predictionOf(found, header, size, top, coverage = null) {
  if (!isOfNumbers(found)) throw new Error("The model's answer to it is not a number.");
  const scores = labelScores(found.logits, header);
  const path = found.tokens.map((index, step) => ({
    name: header.names[index],
    score: header.task === "captioning" ? found.tokenScores[step] : scores[index],
    index,
  }));
  const regions = mapRegions(found.maps, path, header, size);
  const answer = { task: header.task, path: null, size, labels: [], caption: null, regions, error: null };
  if (header.task === "classification") {
    answer.labels = bestLabels(found.logits, scores, header.names, top);
    regions.push(...scaleRegions(found.boxes, answer.labels[0], size, header.box_kind));
    regions.push(...partRegions(found.parts, answer.labels[0]));
  } else if (header.task === "multilabel") {
    answer.labels = [...path].sort((a, b) => found.logits[b.index] - found.logits[a.index] || 0);
  } else {
    answer.caption = path.map((word) => word.name).join(" ");
  }
  const [refusal, group] = header.task === "classification"
    ? [refusalOf(found, header.calibration), sureGroup(scores, header)]
    : [null, null];
  const candidates = coverage === null ? null : likely(found.logits, scores, header, coverage);
  return { ...answer, candidates, coverage, refusal, group };
}

// Of images like those of training, this share has its class among these (LAC sets).
function likely(logits, scores, { names, calibration }, coverage) {
  const quantile = calibration.lac[Math.max(Math.round(100 * coverage) - LEAST_COVERAGE, 0)];
  return bestLabels(logits, scores, names, names.length).filter(({ score }) => 1 - score - quantile <= SUMS);
}

// A class may be ruled out, at -Infinity, but not each.
function isOfNumbers({ logits, tokenScores, maps, boxes, parts }) {
  const finite = (map) => map.values.every(Number.isFinite);
  return logits.every((value) => value < Infinity) && logits.some(Number.isFinite)
    && [...(maps || []), ...(parts || [])].every(finite) && (tokenScores || []).every(Number.isFinite)
    && (boxes || []).every((box) => box.every(Number.isFinite));
}

function labelScores(logits, header) {
  const scaled = Array.from(logits, (value) => value / header.calibration.temperature);
  return header.task === "multilabel" ? scaled.map(sigmoid) : softmax(scaled);
}

function softmax(logits) {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const parts = logits.map((value) => Math.exp(value - most));
  const total = parts.reduce((sum, value) => sum + value, 0);
  return parts.map((value) => value / total);
}

function sigmoid(value) {
  const small = Math.exp(-Math.abs(value));
  return (value >= 0 ? 1 : small) / (1 + small);
}

// The places of the highest values, the highest first; of equals the first.
function ranking(values) {
  return Array.from(values, (_, index) => index).sort((a, b) => values[b] - values[a] || a - b);
}

// Logits rank the classes as they rank maps: scores near 0 and 1 are rounded to equal ones.
function bestLabels(logits, scores, names, top) {
  return ranking(logits).slice(0, top).map((index) => ({ name: names[index], score: scores[index], index }));
}

// Why the image may show none of the classes, or null.
function refusalOf({ logits, distance }, { evidence, distance: farthest }) {
  if (farthest !== null && distance !== null && distance > Math.fround(farthest)) return "unlike the training images";
  const finite = logits.filter(Number.isFinite);
  const mean = finite.reduce((sum, value) => sum + value, 0) / Math.max(finite.length, 1);
  const above = logits.reduce((a, b) => Math.max(a, b), -Infinity) - mean;
  return evidence !== null && above < evidence ? "like no class it knows" : null;
}

// The lowest group that is at least as probable as not where no class is, or null.
function sureGroup(scores, { names, parents }) {
  if (Math.max(...scores) >= LIKELY) return null;
  const sums = new Map();
  names.forEach((name, index) => {
    for (const group of groupsAbove(name, parents)) sums.set(group, (sums.get(group) ?? 0) + scores[index]);
  });
  const depth = (group) => groupsAbove(group, parents).length;
  const sure = [...sums].filter(([, sum]) => sum >= LIKELY);
  if (!sure.length) return null;
  const rank = ([group, sum]) => [depth(group), rint(sum * 1e6)];
  const isLower = ([a, b], [c, d]) => a > c || (a === c && b > d);
  const [name, sum] = sure.reduce((best, next) => (isLower(rank(next), rank(best)) ? next : best));
  return { name, score: Math.min(sum, 1), index: -1 };
}

function groupsAbove(name, parents) {
  const above = [];
  const seen = new Set([name]);
  for (let next = name; Object.hasOwn(parents, next) && parents[next] && !seen.has(parents[next]);) {
    next = parents[next];
    seen.add(next);
    above.push(next);
  }
  return above;
}

function mapRegions(maps, labels, header, size) {
  if (!maps) return [];
  const grid = header.preprocessing.size;
  return maps.map((map, step) => {
    const byPixel = map.h === grid[0] && map.w === grid[1];
    const heatmap = heatmapOf(map, byPixel ? PIXEL_CLIP : 1);
    const even = map.values.every((value) => value === map.values[0]);
    const nothing = byPixel || even || !heatmap.values.some((value) => value > 0);
    const box = nothing ? null : boxOfMap(map, grid, header);
    const place = header.evidence_kind === "map" ? null : step;
    return region(header.evidence_kind, labels[step], box && inPixels(box, size), heatmap, place);
  });
}

function partRegions(parts, label) {
  return (parts || []).map((map, step) => region("part", label, null, heatmapOf(map, 1), step));
}

// boxes: [x0, y0, x1, y1, score] in [-1, 1], of the second and finer scales, or of all places.
function scaleRegions(boxes, label, size, kind) {
  const first = kind === "scale" ? 1 : 0;
  return (boxes || []).map(([x0, y0, x1, y1, score], index) => {
    const inside = [x0, y0, x1, y1].map((value) => Math.min(Math.max((value + 1) / 2, 0), 1));
    return region(kind, { ...label, score }, inPixels(inside, size), null, index + first);
  });
}

function region(kind, label, box, heatmap, step) {
  const rows = heatmap && Array.from({ length: heatmap.h }, (_, y) => (
    Array.from(heatmap.values.slice(y * heatmap.w, (y + 1) * heatmap.w), (value) => rint(value * 1e6) / 1e6)
  ));
  return { kind, label: label.name, score: label.score, box, heatmap: rows, step, move: null };
}

function inPixels(fractions, size) {
  return fractions.map((value, side) => hundredths(value * size[side % 2]));
}

// As Python rounds: halves to the even neighbor.
function rint(value) {
  const above = Math.round(value);
  return above - value === 0.5 && above % 2 ? above - 1 : above;
}

// To two digits. Halves between them are odd eighths; all else is nearer to one neighbor.
function hundredths(value) {
  return Number.isInteger(8 * value) ? rint(100 * value) / 100 : Number(value.toFixed(2));
}

// relu(M) / max(M); what is above the quantile `clip` of the evidence becomes 1.
function heatmapOf(map, clip) {
  const positive = map.values.map((value) => Math.max(value, 0));
  let most = positive.reduce((a, b) => Math.max(a, b), 0);
  if (clip < 1) {
    const reach = positive.slice().sort()[rint(clip * (positive.length - 1))];
    most = reach > 0 ? reach : most;
  }
  return { w: map.w, h: map.h, values: positive.map((value) => Math.min(value / (most || 1), 1)) };
}

// The box, in fractions, of the largest component above the threshold, a share of the range or of
// the maximum of the map at the size of the network's input.
function boxOfMap(map, grid, { box_threshold: threshold, box_rule: rule }) {
  const { w, h, values } = upsampleCubic(map, grid[1], grid[0]);
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (rule === "max") low = 0;
  if (!(high > low)) return null;
  const kept = threshold * (1 - ROUNDING);
  const mask = Uint8Array.from(values, (value) => Math.max(value - low, 0) / (high - low) >= kept);
  return largestBox(mask, w, h);
}

// Cubic convolution with a = -0.75, border pixels repeated, as in the scoring protocol.
function upsampleCubic(map, w, h) {
  const columns = cubicTaps(map.w, w), rows = cubicTaps(map.h, h);
  const wide = new Float32Array(map.h * w), values = new Float32Array(h * w);
  for (let y = 0; y < map.h; y++) {
    for (let x = 0; x < w; x++) {
      wide[y * w + x] = columns[x].reduce((sum, [at, weight]) => sum + map.values[y * map.w + at] * weight, 0);
    }
  }
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      values[y * w + x] = rows[y].reduce((sum, [at, weight]) => sum + wide[at * w + x] * weight, 0);
    }
  }
  return { w, h, values };
}

function cubicTaps(from, to) {
  return Array.from({ length: to }, (_, index) => {
    const at = ((index + 0.5) * from) / to - 0.5, first = Math.floor(at);
    return [-1, 0, 1, 2].map((offset) => [
      Math.min(Math.max(first + offset, 0), from - 1), Math.fround(cubicKernel(at - first - offset)),
    ]);
  });
}

function cubicKernel(distance) {
  const a = -0.75, x = Math.abs(distance);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return ((x - 5) * x + 8) * a * x - 4 * a;
}
