"use strict";
// The engine of a server: the same functions as that in the browser, over `v1/`.

function remoteEngine(askKey) {
  let key = "";

  async function ask(path, options) {
    let answer;
    try {
      answer = await fetch(path, { ...options, headers: key ? { Authorization: `Bearer ${key}` } : {} });
    } catch {
      throw new Error("The server does not answer. Is it still running?");
    }
    if (answer.status === 401) {
      const given = await askKey(Boolean(key));
      if (given) {
        key = given;
        return ask(path, options);
      }
    }
    const content = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(content.detail || content.title || `The server refuses this (${answer.status}).`);
    return content;
  }

  return {
    isReady: () => true,
    readsMore: true, // formats that browsers do not show
    async models() {
      return (await ask("v1/models")).models;
    },
    async answer(blob, model, coverage) {
      const query = new URLSearchParams({ model, heatmaps: "raw", ...(coverage && { coverage }) });
      // Whatever the file calls itself, the server looks into it.
      const body = new Blob([blob], { type: "application/octet-stream" });
      const { predictions: [found] } = await ask(`v1/predict?${query}`, { method: "POST", body });
      const trouble = found.error;
      if (trouble) throw new Error(trouble.detail || trouble.title || String(trouble));
      return found;
    },
  };
}
