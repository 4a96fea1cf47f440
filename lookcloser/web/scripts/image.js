"use strict";
// Image files as the page shows them: checked before they are decoded, and kept small.

const MOST_PIXELS = 178956970; // where Python refuses to go on, too
const SHOWN = 1280; // longest side of what is kept for showing
const NOT_AN_IMAGE = "This is not an image that the browser can read. JPEG, PNG and WebP always work.";

const NO_MEMORY = /memory|alloc|out of bounds|aborted|unreachable|RangeError|Array buffer/i;

const TRY_SMALLER = "Close other tabs, or take a smaller image.";

// What a browser says of a failure, as people can use it.
function explained({ name, text }, remedy = TRY_SMALLER) {
  if (name === "InvalidStateError" || name === "EncodingError") return new Error(NOT_AN_IMAGE);
  const error = new Error(text);
  if (NO_MEMORY.test(`${name} ${text}`)) {
    error.message = `The browser has not enough memory for this. ${remedy}`;
    error.fatal = true;
  }
  return error;
}

// A blob -> an image element with at most SHOWN pixels a side.
async function showable(blob) {
  await checkSize(blob);
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { imageOrientation: "from-image" });
  } catch (error) {
    throw explained({ name: error.name, text: error.message });
  }
  const canvas = shrunk(bitmap, bitmap.width, bitmap.height, SHOWN);
  bitmap.close();
  return loadImage(await blobOf(canvas, "image/jpeg", 0.92));
}

// From the head of the file: what is too large is never decoded.
async function checkSize(blob) {
  const image = await loadImage(blob);
  const pixels = image.naturalWidth * image.naturalHeight;
  freeImage(image);
  if (pixels > MOST_PIXELS) {
    throw new Error(`An image of ${Math.round(pixels / 1e6)} megapixels is too large; ${Math.floor(MOST_PIXELS / 1e6)} at most.`);
  }
  if (!pixels) throw new Error(NOT_AN_IMAGE);
}

function loadImage(blob) {
  const image = new Image();
  return new Promise((resolve, reject) => {
    image.onload = () => resolve(image);
    image.onerror = () => {
      freeImage(image);
      reject(new Error(NOT_AN_IMAGE));
    };
    image.src = URL.createObjectURL(blob);
  });
}

function freeImage(image) {
  URL.revokeObjectURL(image.src);
}

// A canvas with an image of `width` × `height` on white, its longest side at most `longest`.
function shrunk(image, width, height, longest) {
  const factor = Math.min(1, longest / Math.max(width, height)), canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * factor));
  canvas.height = Math.max(1, Math.round(height * factor));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}

function blobOf(canvas, type, quality) {
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(explained({ name: "RangeError", text: "no memory" }))), type, quality);
  });
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function asJson(value) {
  return new Blob([JSON.stringify(value, null, 1)], { type: "application/json" });
}
