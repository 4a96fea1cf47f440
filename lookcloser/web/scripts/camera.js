"use strict";
// The camera as a row of images. `onFrame(canvas, blob)` gets the next one when it is done with the
// last; the images go nowhere else.

const FRAME = 640; // longest side

function makeCamera(video) {
  let stream = null, turn = 0; // a turn ends when the camera stops

  function stop() {
    turn += 1;
    end(stream);
    stream = null;
    video.srcObject = null;
  }

  async function start(onFrame) {
    if (!navigator.mediaDevices) throw new Error("The browser gives the camera to https pages and to localhost only.");
    stop();
    const mine = turn;
    let given;
    try {
      given = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch (error) {
      throw new Error(error.name === "NotAllowedError"
        ? "The camera is not allowed. Allow it in the settings of this page."
        : "There is no camera that can be used.");
    }
    if (turn !== mine) return end(given); // stopped while the browser asked
    stream = given;
    video.srcObject = stream;
    await video.play();
    while (turn === mine) {
      if (!stream.active) throw new Error("The camera is gone. Is it still connected?");
      const canvas = shrunk(video, video.videoWidth, video.videoHeight, FRAME);
      await onFrame(canvas, await blobOf(canvas, "image/jpeg", 0.92));
    }
  }

  return { start, stop };
}

function end(stream) {
  if (stream) for (const track of stream.getTracks()) track.stop();
}
