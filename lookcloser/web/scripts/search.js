"use strict";
// The decoders of `lookcloser.decoding` for one image. `step(state, tokens)` feeds one token to
// each row and returns {logProbs, state}, with one array of log-probabilities a row; `pick(state,
// rows)` takes rows of a state.

// -> {tokens, scores, marginals}: the answer, how sure each token is, and with `scored_paths` the
// probability of every label.
async function decode(search, state, step, pick, draws) {
  const limits = { ...search, maxLength: search.longest + 1 };
  const run = { beam: beamSearch, exact: bestFirstSearch, sample: drawSequence }[search.decoder];
  const found = await run(limits, state, step, pick, draws);
  const tokens = found.slice(0, search.longest);
  if (search.scored_paths === null) {
    return { tokens, scores: await stepScores(search.start, tokens, state, step), marginals: null };
  }
  const marginals = await labelMarginals(limits, state, step, pick);
  return { tokens, scores: tokens.map((token) => marginals[token]), marginals };
}

// The probability of each token after those before it.
async function stepScores(start, tokens, state, step) {
  const scores = [];
  let last = start;
  for (const token of tokens) {
    const found = await step(state, [last]);
    scores.push(Math.exp(found.logProbs[0][token]));
    state = found.state;
    last = token;
  }
  return scores;
}

async function beamSearch(limits, state, step, pick) {
  const { start, end, beam, maxLength, repeats } = limits;
  let live = [{ score: 0, tokens: [] }], ended = [], unfinished = live;
  for (let position = 0; position < maxLength && live.length; position++) {
    const found = await step(state, live.map(({ tokens }) => (position ? tokens[position - 1] : start)));
    const longer = live.flatMap((path, row) => (
      bestTokens(found.logProbs[row], repeats ? [] : path.tokens, beam).map(([token, logProb]) => (
        { score: path.score + logProb, tokens: [...path.tokens, token], row }))
    ));
    const kept = byScore(longer).slice(0, beam);
    const isEnded = ({ tokens }) => tokens[position] === end;
    ended = byScore([...ended, ...kept.filter(isEnded)]).slice(0, beam);
    live = kept.filter((path) => !isEnded(path));
    if (live.length) unfinished = live;
    const worst = Math.min(...ended.map(({ score }) => score));
    if (ended.length && live.length && live[0].score < worst) live = [];
    state = pick(found.state, live.map(({ row }) => row));
  }
  return (ended.length ? ended : unfinished)[0].tokens.filter((token) => token !== end);
}

function byScore(paths) {
  return paths.sort((a, b) => b.score - a.score); // stable: of equals the first goes first
}

// [token, log-probability] of the most probable tokens, best first, of equals the smaller token.
function bestTokens(logProbs, masked, count) {
  const left = Float64Array.from(logProbs, (value) => Math.min(value, 0));
  for (const token of masked) left[token] = -Infinity;
  return ranking(left).slice(0, count).filter((token) => left[token] > -Infinity)
    .map((token) => [token, left[token]]);
}

// A path of the tree of all sequences, with the state that its last token has yet to be fed to.
function childOf(node, token, logProb, state) {
  return { cost: node.cost - logProb, tokens: [...node.tokens, token], state };
}

// By cost, then length, then tokens.
function compareNodes(a, b) {
  if (a.cost !== b.cost) return a.cost - b.cost;
  if (a.tokens.length !== b.tokens.length) return a.tokens.length - b.tokens.length;
  const at = a.tokens.findIndex((token, index) => token !== b.tokens[index]);
  return at < 0 ? 0 : a.tokens[at] - b.tokens[at];
}

// Into its place in a list that is sorted from the worst to the best.
function insertNode(open, node) {
  let low = 0, high = open.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareNodes(open[middle], node) > 0) low = middle + 1;
    else high = middle;
  }
  open.splice(low, 0, node);
}

async function expandNode(node, start, step) {
  const last = node.tokens.length ? node.tokens[node.tokens.length - 1] : start;
  const { logProbs, state } = await step(node.state, [last]);
  return { logProbs: logProbs[0], state };
}

async function bestFirstSearch(limits, state, step) {
  const { start, end, maxLength, repeats, node_budget: budget } = limits;
  const open = [{ cost: 0, tokens: [], state }];
  let best = null, longest = open[0];
  const better = (node) => best === null || compareNodes(node, best) < 0;
  for (let turn = 0; open.length && better(open[open.length - 1]) && turn < (budget ?? Infinity); turn++) {
    const node = open.pop(), found = await expandNode(node, start, step);
    const final = { cost: node.cost - Math.min(found.logProbs[end] ?? -Infinity, 0), tokens: node.tokens };
    if (final.cost < Infinity && better(final)) best = final;
    for (const [token, logProb] of bestTokens(found.logProbs, repeats ? [] : node.tokens, Infinity)) {
      const child = childOf(node, token, logProb, found.state);
      if (token === end || !better(child)) continue;
      if (best === null && isLonger(child, longest)) longest = child;
      if (child.tokens.length < maxLength) insertNode(open, child);
    }
  }
  return (best || longest).tokens;
}

function isLonger(node, other) {
  const more = node.tokens.length - other.tokens.length;
  return more > 0 || (more === 0 && compareNodes(node, other) < 0);
}

// How probable each label is to be in the set, over the most probable paths.
async function labelMarginals(limits, state, step) {
  const { start, end, maxLength, scored_paths: budget } = limits;
  const open = [{ cost: 0, tokens: [], state }];
  let marginals = null;
  for (let left = budget - 1; left >= 0 && open.length; left--) {
    const node = open.pop(), found = await expandNode(node, start, step);
    const ruled = new Set(node.tokens);
    marginals = marginals || new Float64Array(found.logProbs.length);
    found.logProbs.forEach((logProb, token) => {
      if (!ruled.has(token)) marginals[token] += Math.exp(logProb - node.cost);
    });
    for (const [token, logProb] of bestTokens(found.logProbs, node.tokens, left + 1)) {
      const child = childOf(node, token, logProb, found.state);
      if (token !== end && child.tokens.length < maxLength) insertNode(open, child);
    }
  }
  return marginals;
}

// The sequence that Python draws for a batch of one image: `draws` are its random numbers.
async function drawSequence(limits, state, step, pick, draws) {
  const { start, end, maxLength, repeats, temperature, top_p: share } = limits;
  const tokens = [];
  for (let position = 0; position < maxLength; position++) {
    const found = await step(state, [position ? tokens[position - 1] : start]);
    const ordered = bestTokens(found.logProbs[0], repeats ? [] : tokens, Infinity);
    if (!ordered.length) break;
    const token = drawToken(ordered, draws[position], temperature, share);
    if (token === end) break;
    tokens.push(token);
    state = found.state;
  }
  return tokens;
}

function drawToken(ordered, uniform, temperature, share) {
  const best = ordered[0][1];
  let weights = ordered.map(([, logProb]) => Math.exp((logProb - best) / temperature));
  const total = weights.reduce((sum, value) => sum + value, 0);
  weights = weights.map((value) => value / total);
  if (share !== null) {
    let before = 0;
    weights = weights.map((value) => {
      const kept = before >= share ? 0 : value;
      before += value;
      return kept;
    });
  }
  const whole = weights.reduce((sum, value) => sum + value, 0);
  let reached = 0, place = 0;
  for (const value of weights) {
    reached += value;
    if (reached > uniform * whole) break;
    place++;
  }
  const possible = weights.filter((value) => value > 0).length;
  return ordered[Math.min(place, possible - 1)][0];
}
