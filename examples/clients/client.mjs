// The answers of a server for some images: node client.mjs http://127.0.0.1:8000 a.jpg b.jpg
// In a browser the same works with the files of an <input type="file">.
import { readFile } from "node:fs/promises";
import { basename } from "node:path";

const [server, ...paths] = process.argv.slice(2);
const form = new FormData();
for (const path of paths) form.append("image", new Blob([await readFile(path)]), basename(path));
const answer = await fetch(`${server}/v1/predict?heatmaps=none`, { method: "POST", body: form });
const found = await answer.json();
if (!answer.ok) throw new Error(found.detail);
for (const { path, labels, error } of found.predictions) console.log(path, error ?? labels[0].name);
