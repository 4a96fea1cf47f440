"use strict";
// Image files as Python reads them, also where browsers would read them in another way: upright
// whatever holds the orientation, 16 bits rounded alike, and none of which a part is missing.

const DECODING = { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" };
const WIDEST = 65535, TALLEST = 32767; // pixels; beyond, canvases show something else, or nothing
const NOT_AN_IMAGE = "This is not an image that the browser can read. JPEG, PNG and WebP always work.";
const ALWAYS_READ = ["JPEG", "PNG", "WebP", "GIF", "BMP"];

// What a file is, by its first bytes as text: of several names the first that fits.
const SIGNS = [
  ["JPEG", /^\xff\xd8\xff/], ["PNG", /^\x89PNG/], ["GIF", /^GIF8/], ["WebP", /^RIFF....WEBP/s],
  ["BMP", /^BM/], ["AVIF", /^....ftyp.*avi[fs]/s], ["HEIC", /^....ftyp(?:hei|hev|mif1|msf1)/s],
  ["camera raw", /^....ftypcrx|^II\*\0....CR|^FUJIFILM|^IIRO/s], ["TIFF", /^(?:II\*\0|MM\0\*|II\+\0|MM\0\+)/],
  ["JPEG 2000", /^\0\0\0\x0cjP|^\xff\x4f\xff\x51/], ["JPEG XL", /^\xff\x0a|^\0\0\0\x0cJXL/], ["video", /^....ftyp|^\x1aE\xdf\xa3/s],
  ["PDF", /^%PDF/], ["Photoshop", /^8BPS/], ["SVG", /^(?:<\?xml|<svg)/], ["ZIP", /^PK\x03\x04/],
];

function formatOf(bytes) {
  const head = String.fromCharCode(...bytes.subarray(0, 40));
  const found = SIGNS.find(([, sign]) => sign.test(head));
  return found ? found[0] : null;
}

// An error for a file that the browser cannot decode, by what it is.
function unreadable(format) {
  if (format === null) return new Error(NOT_AN_IMAGE);
  if (ALWAYS_READ.includes(format)) return new Error(`This ${format} file is damaged or cut off. Take the original file.`);
  return new Error(`This browser does not read this ${format} file. Save it as JPEG, PNG or WebP.`);
}

function tooLong([width, height]) {
  return new Error(`An image of ${width} × ${height} pixels is too long; ${TALLEST} a side always work. Make it smaller first.`);
}

async function bytesOf(blob) {
  let bytes;
  try {
    bytes = new Uint8Array(await blob.arrayBuffer());
  } catch {
    throw new Error("The file cannot be read. Was it moved or changed? Choose it again.");
  }
  if (!bytes.length) throw new Error("The file is empty. Take the original file.");
  return bytes;
}

// A file as a bitmap, upright; one that was turned here is on white.
async function openImage(blob, options = DECODING) {
  const bytes = await bytesOf(blob), format = formatOf(bytes);
  if (isCut(bytes, format)) throw unreadable(format);
  const { turn, plain } = ownOrientation(bytes, format);
  let bitmap;
  try {
    const deep = format === "PNG" ? await pixelsOf16Bits(bytes) : null;
    bitmap = await createImageBitmap(deep || (turn === 1 ? blob : plain), options);
  } catch (error) {
    const isOfTheFile = ["InvalidStateError", "EncodingError", "TypeError"].includes(error.name);
    throw isOfTheFile ? unreadable(format) : error;
  }
  return turn === 1 ? bitmap : turned(bitmap, turn);
}

// Whether the file ends before its image does: some browsers show the part that is there.
function isCut(bytes, format) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (format === "BMP") return bytes.length < 6 || view.getUint32(2, true) > bytes.length;
  if (format === "PNG") return chunksOf(view).some(({ name, end }) => name === "IDAT" && end > bytes.length);
  if (format === "JPEG") return !hasEnd(bytes, view);
  return format === "GIF" && !hasFirstFrame(bytes);
}

// The mark of the end comes after the data of the scan, in which 0xff is never followed by it.
function hasEnd(bytes, view) {
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at + 1] !== 0xda) at += bytes[at + 1] === 0xff ? 1 : 2 + view.getUint16(at + 2);
  for (at += 2; at + 1 < bytes.length; at++) if (bytes[at] === 0xff && bytes[at + 1] === 0xd9) return true;
  return false;
}

function hasFirstFrame(bytes) {
  const tableSize = (flags) => (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0);
  const pastBlocks = (at) => {
    while (at < bytes.length && bytes[at]) at += bytes[at] + 1;
    return at + 1;
  };
  let at = 13 + tableSize(bytes[10]);
  while (bytes[at] === 0x21) at = pastBlocks(at + 2);
  return bytes[at] === 0x2c && pastBlocks(at + 11 + tableSize(bytes[at + 9])) <= bytes.length;
}

// The chunks of a PNG file, the last of which may end after the file does.
function chunksOf(view) {
  const chunks = [];
  for (let at = 8; at + 8 <= view.byteLength;) {
    const size = view.getUint32(at), name = nameAt(view, at + 4), end = at + 12 + size;
    chunks.push({ name, at, data: at + 8, size, end });
    at = end;
  }
  return chunks;
}

function nameAt(view, at) {
  return String.fromCharCode(...[0, 1, 2, 3].map((place) => view.getUint8(at + place)));
}

// The orientation in a PNG or WebP file, which not every browser heeds, and the file without it.
function ownOrientation(bytes, format) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const chunks = { PNG: chunksOf, WebP: riffChunks }[format];
  const found = chunks && chunks(view).find(({ name, end }) => (name === "eXIf" || name === "EXIF") && end <= bytes.length);
  const turn = found ? orientationIn(bytes.subarray(found.data, found.data + found.size)) : 1;
  if (turn === 1) return { turn, plain: null };
  // WebP says how long it is, so that its chunk stays, under a name that nobody knows.
  const instead = format === "PNG" ? [] : ["none", bytes.subarray(found.at + 4, found.end)];
  return { turn, plain: new Blob([bytes.subarray(0, found.at), ...instead, bytes.subarray(found.end)]) };
}

function riffChunks(view) {
  const chunks = [];
  for (let at = 12; at + 8 <= view.byteLength;) {
    const size = view.getUint32(at + 4, true), end = at + 8 + size + (size % 2);
    chunks.push({ name: nameAt(view, at), at, data: at + 8, size, end });
    at = end;
  }
  return chunks;
}

// EXIF's number, 1 for upright and for data that say nothing.
function orientationIn(exif) {
  const start = exif[0] === 0x45 ? 6 : 0; // after "Exif" and two zeros
  const view = new DataView(exif.buffer, exif.byteOffset + start, Math.max(exif.length - start, 0));
  const little = view.byteLength > 8 && view.getUint16(0) === 0x4949;
  const number = (at, size) => (at + size <= view.byteLength ? view[`getUint${8 * size}`](at, little) : 0);
  const first = number(4, 4), count = number(first, 2);
  for (let entry = first + 2; entry < first + 2 + 12 * count && entry + 12 <= view.byteLength; entry += 12) {
    const value = number(entry + 8, 2);
    if (number(entry, 2) === 0x0112) return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

// The bitmap turned as EXIF's number says, on white.
function turned(bitmap, turn) {
  const { width: w, height: h } = bitmap;
  const canvas = turn > 4 ? new OffscreenCanvas(h, w) : new OffscreenCanvas(w, h), context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.setTransform(...[
    [1, 0, 0, 1, 0, 0], [-1, 0, 0, 1, w, 0], [-1, 0, 0, -1, w, h], [1, 0, 0, -1, 0, h],
    [0, 1, 1, 0, 0, 0], [0, 1, -1, 0, h, 0], [0, -1, -1, 0, h, w], [0, -1, 1, 0, 0, w],
  ][turn - 1]);
  context.imageSmoothingEnabled = false;
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas.transferToImageBitmap();
}

// The pixels of a PNG with 16 bits, as Python rounds them: gray to the nearest of 256 levels, colors
// and transparency down; null for what the browser decodes as Python does.
async function pixelsOf16Bits(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const channels = { 0: 1, 2: 3, 4: 2, 6: 4 }[bytes[25]], chunks = chunksOf(view);
  const isPlain = bytes[24] === 16 && channels && !bytes[28] && (channels === 1 || !chunks.some(({ name }) => name === "tRNS"));
  if (!isPlain || !globalThis.DecompressionStream) return null;
  const width = view.getUint32(16), height = view.getUint32(20), step = 2 * channels, row = width * step;
  const parts = chunks.filter(({ name }) => name === "IDAT").map(({ data, size }) => bytes.subarray(data, data + size));
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  const lines = new Uint8Array(await new Response(stream).arrayBuffer());
  if (lines.length < height * (row + 1)) throw new TypeError("too few lines");
  const image = new ImageData(width, height), eight = eightBits(channels);
  for (let y = 0; y < height; y++) {
    const from = y * (row + 1) + 1;
    unfilter(lines, from, row, step, y > 0);
    for (let x = 0; x < width; x++) eight(lines, from + x * step, image.data, 4 * (y * width + x));
  }
  return image;
}

// Undo the filter of a line in place; the byte before it says which, the line above is done.
function unfilter(lines, from, row, step, hasAbove) {
  const guess = GUESSES[lines[from - 1]], above = from - row - 1;
  for (let at = 0; at < row; at++) {
    const left = at < step ? 0 : lines[from + at - step], up = hasAbove ? lines[above + at] : 0;
    lines[from + at] += guess(left, up, at < step || !hasAbove ? 0 : lines[above + at - step]);
  }
}

const GUESSES = [() => 0, (left) => left, (left, up) => up, (left, up) => (left + up) >> 1, nearest];

// Paeth's: which of three is nearest to left + up - corner.
function nearest(left, up, corner) {
  const a = Math.abs(up - corner), b = Math.abs(left - corner), c = Math.abs(left + up - 2 * corner);
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}

function eightBits(channels) {
  const gray = (lines, from) => Math.round((256 * lines[from] + lines[from + 1]) / 257);
  return (lines, from, to, at) => {
    for (let color = 0; color < 3; color++) {
      to[at + color] = channels === 1 ? gray(lines, from) : lines[from + (channels > 2 ? 2 * color : 0)];
    }
    to[at + 3] = channels % 2 ? 255 : lines[from + 2 * (channels - 1)];
  };
}
