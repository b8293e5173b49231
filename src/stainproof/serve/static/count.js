// The differential count of stainproof/evaluation/count.py and misclassification.py, in a worker.

import {betaDistribution, dirichlet, generator, multinomial} from "./random.js";

const NUM_CHAINS = 1500, NUM_STEPS = 30, NUM_SWEEPS = 3;
const PREVALENCE_PRIOR = 0.5, MAX_FALL = 0.05, NUM_WIDENED = 10;
const TAIL = 0.025, TOLERANCE = 1e-5, SEED = 0, MIN_WHITE_CELLS = 100;
const sum = (values) => values.reduce((total, one) => total + one, 0);

/**
 * Count cells.
 *
 * `cells`: {predicted: index of the class, confidence, label: the reviewer's class or null}.
 * `facts`: model/model.json. Returns the fields of count.json.
 */
export function countCells(cells, facts) {
  const {classes, errors, threshold, unclassified} = facts;
  const names = classes.map((one) => one.name), isWhite = classes.map((one) => one.is_white);
  const num = names.map(() => 0), predicted = names.map(() => 0);
  const confirmed = names.map(() => names.map(() => 0));
  let numUnclassified = 0, numConfirmed = 0;
  for (const cell of cells) {
    const index = cell.label === null ? -1 : names.indexOf(cell.label);
    if (index >= 0) {
      confirmed[index][cell.predicted] += 1;
      num[index] += 1;
      numConfirmed += 1;
      continue;
    }
    predicted[cell.predicted] += 1;
    if (cell.label !== null || cell.confidence < threshold) numUnclassified += 1;
    else num[cell.predicted] += 1;
  }
  const numWhite = sum(num.filter((_, index) => isWhite[index])) + numUnclassified;
  const confidence = sum(cells.map((one) => one.confidence)) / cells.length;
  const draws = drawTrueCounts(predicted, confirmed, expectedAt(errors, confidence), generator(SEED));
  const white = draws.map((draw) => sum(draw.filter((_, index) => isWhite[index])));
  const found = {};
  names.forEach((name, index) => {
    const own = draws.map((draw) => draw[index]);
    const total = isWhite[index] ? white : white.map((one, draw) => one + own[draw]);
    let [low, high] = shareInterval(own, total);
    if (!isWhite[index]) [low, high] = [odds(low), odds(high)];
    found[name] = {
      ...percentages(num[index], numWhite, low, high),
      corrected: numWhite ? 100 * sum(own) / Math.max(sum(white), 1) : null,
      num_confirmed: sum(confirmed[index]),
      kind: isWhite[index] ? "white" : "apart",
    };
  });
  found[unclassified] = {
    ...percentages(numUnclassified, numWhite, ...shareInterval([numUnclassified], [numWhite])),
    corrected: null, num_confirmed: 0, kind: unclassified,
  };
  const isConfirmed = numConfirmed === cells.length;
  return {
    classes: found, num_cells: cells.length, num_white: numWhite, num_confirmed: numConfirmed, threshold,
    errors_from: errors.source, num_errors_cells: sum(errors.confusion.flat()),
    assumption: isConfirmed ? errors.assumption_confirmed : errors.assumption,
    warnings: warnings(numWhite, isConfirmed, errors, confidence),
    loinc: Object.fromEntries(classes.filter((one) => one.loinc).map((one) => [one.name, one.loinc])),
    weights_sha256: facts.model.weights_sha256,
  };
}

const isLessSure = (errors, confidence) => errors.mean_confidence - confidence > MAX_FALL;

function warnings(numWhite, isConfirmed, errors, confidence) {
  const found = [];
  if (numWhite < MIN_WHITE_CELLS) found.push(`${numWhite} white cells; a differential count needs ${MIN_WHITE_CELLS}`);
  if (!isConfirmed && isLessSure(errors, confidence)) {
    found.push("the model is less sure of these cells than of those on which its errors were measured; " +
      "the intervals are widened, but can still be too narrow: confirm cells");
  }
  return found;
}

function percentages(num, numWhite, low, high) {
  if (!numWhite) return {num, percent: null, low: null, high: null};
  const share = num / numWhite;
  return {num, percent: 100 * share, low: 100 * Math.min(low, share), high: 100 * Math.max(high, share)};
}

const odds = (share) => share / Math.max(1 - share, 1e-6);

/** The errors to expect at a mean confidence, as counts: rows are true classes. */
function expectedAt(errors, confidence) {
  if (!isLessSure(errors, confidence)) return errors.confusion;
  const {confusion} = errors, total = Math.max(sum(confusion.flat()), 1);
  const accuracy = sum(confusion.map((row, index) => row[index])) / total;
  const kept = Math.max(1 - (errors.mean_confidence - confidence) / Math.max(accuracy, 1e-9), 0);
  return confusion.map((row) => {
    const cells = Math.max(sum(row), 1);
    return row.map((one) => NUM_WIDENED * (kept * one / cells + (1 - kept) / confusion.length));
  });
}

/** Draw how many cells of each true class there may be: drawn errors, then a Gibbs sampler. */
export function drawTrueCounts(predicted, confirmed, errors, random) {
  const known = confirmed.map(sum), used = predicted.flatMap((num, index) => (num ? [index] : []));
  if (!used.length) return [known];
  const evidence = errors.map((row, k) => row.map((one, j) => one + confirmed[k][j] + 1 / row.length));
  const draws = [];
  for (let chain = 0; chain < NUM_CHAINS; chain += 1) {
    const rates = evidence.map((row) => dirichlet(row, random));
    let prevalence = likelyPrevalence(predicted, used, known, rates), truth = known;
    for (let sweep = 0; sweep < NUM_SWEEPS; sweep += 1) {
      truth = [...known];
      for (const j of used) {
        const split = multinomial(predicted[j], prevalence.map((share, k) => share * rates[k][j]), random);
        split.forEach((num, k) => { truth[k] += num; });
      }
      prevalence = dirichlet(truth.map((num) => num + PREVALENCE_PRIOR), random);
    }
    draws.push(truth);
  }
  return draws;
}

/** The prevalences that explain the predictions best, by expectation maximisation. */
function likelyPrevalence(predicted, used, known, rates) {
  let prevalence = known.map(() => 1 / known.length);
  for (let step = 0; step < NUM_STEPS; step += 1) {
    const truth = known.map((num) => num + PREVALENCE_PRIOR);
    for (const j of used) {
      const joint = prevalence.map((share, k) => share * rates[k][j]), total = sum(joint);
      joint.forEach((one, k) => { truth[k] += predicted[j] * one / total; });
    }
    const total = sum(truth);
    prevalence = truth.map((one) => one / total);
  }
  return prevalence;
}

/** The 95 % interval of a share: quantiles of mixtures of the distributions of Clopper and Pearson. */
export function shareInterval(num, total) {
  const times = new Map();
  num.forEach((one, index) => {
    const key = `${one} ${total[index] - one}`;
    times.set(key, (times.get(key) ?? 0) + 1);
  });
  const parts = [...times].map(([key, count]) => [...key.split(" ").map(Number), count / num.length]);
  return [
    quantile(parts.map(([a, b, weight]) => [a, b + 1, weight]), TAIL),
    quantile(parts.map(([a, b, weight]) => [a + 1, b, weight]), 1 - TAIL),
  ];
}

function quantile(parts, level) {
  const at0 = sum(parts.filter(([a]) => !a).map((part) => part[2]));
  const at1 = sum(parts.filter(([, b]) => !b).map((part) => part[2]));
  if (at0 >= level) return 0;
  if (1 - at1 <= level) return 1;
  const inside = parts.filter(([a, b]) => a && b).map(([a, b, weight]) => [betaDistribution(a, b), weight]);
  let low = 0, high = 1;
  while (high - low > TOLERANCE) {
    const middle = 0.5 * (low + high);
    if (at0 + sum(inside.map(([share, weight]) => weight * share(middle))) < level) low = middle;
    else high = middle;
  }
  return 0.5 * (low + high);
}

if (globalThis.WorkerGlobalScope && globalThis instanceof WorkerGlobalScope) {
  onmessage = ({data: {cells, facts}}) => postMessage(countCells(cells, facts));
}
