"use strict";
// What the page and its worker load from their host, and why something did not come.

const NEEDED = { blob: "blob:", "wasm-eval": "'wasm-unsafe-eval'" };
const refused = new Map(); // what a policy of the host forbids -> its directive

self.addEventListener("securitypolicyviolation", ({ blockedURI, effectiveDirective, disposition }) => {
  if (disposition === "enforce") refused.set(blockedURI, effectiveDirective);
});

// Why the host's policy lets something fail, or null. What was refused is told one task later.
async function policyTrouble(address) {
  await new Promise((done) => { setTimeout(done, 0); });
  const found = [address, ...Object.keys(NEEDED)].find((source) => refused.has(source));
  if (!found) return null;
  return new Error(`The Content-Security-Policy that the web server sends has no ${NEEDED[found] || found} in ${refused.get(found)}, which this page needs. Whoever runs the server can add it.`);
}

// The bytes of a file of the folder, or of the runtime, checked where its hash is known.
async function loadFile({ url, integrity }, base) {
  const address = new URL(url, base).href;
  // What a browser kept of an earlier export is not what this one needs.
  for (const cache of [integrity ? "default" : "no-cache", "reload"]) {
    try {
      const answer = await fetch(address, { integrity: integrity || "", cache });
      if (answer.ok) return await answer.arrayBuffer();
    } catch { /* the second try, or the message below */ }
  }
  const remedy = url.includes("://") ? "Is this device online?"
    : "Is this device online? If so, upload the whole folder again.";
  throw await policyTrouble(address) || new Error(`${url} is not there, or is not the file that was exported. ${remedy}`);
}
