// Random numbers and the incomplete beta function, for the intervals of counts.

/** Return a generator of numbers in [0, 1) from a seed (sfc32 of PractRand). */
export function generator(seed) {
  let [a, b, c, d] = [0x9e3779b9, 0x243f6a88, 0xb7e15162, seed | 1];
  const next = () => {
    const sum = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 16; i += 1) next();
  return next;
}

function normal(random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Draw from the gamma distribution of scale 1 (Marsaglia and Tsang 2000). */
export function gamma(shape, random) {
  if (shape < 1) return gamma(shape + 1, random) * (1 - random()) ** (1 / shape);
  const d = shape - 1 / 3, c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = normal(random), v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(1 - random()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
  }
}

export function dirichlet(concentration, random) {
  const gammas = concentration.map((shape) => gamma(shape, random) + 1e-300);
  const total = gammas.reduce((sum, one) => sum + one, 0);
  return gammas.map((one) => one / total);
}

/** Distribute `num` items over classes with these weights; returns the numbers. */
export function multinomial(num, weights, random) {
  const ends = [], found = weights.map(() => 0);
  let total = 0;
  for (const weight of weights) ends.push(total += weight);
  for (let i = 0; i < num; i += 1) {
    const place = random() * total, index = ends.findIndex((end) => place < end);
    found[index < 0 ? ends.length - 1 : index] += 1;
  }
  return found;
}

const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

function logGamma(x) {  // of x > 0
  let sum = LANCZOS[0];
  for (let i = 1; i < 9; i += 1) sum += LANCZOS[i] / (x - 1 + i);
  const t = x + 6.5;
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
}

/** Return the distribution function of a beta distribution, as a function of the share. */
export function betaDistribution(a, b) {
  const scale = logGamma(a + b) - logGamma(a) - logGamma(b);
  return (x) => {
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    const front = Math.exp(scale + a * Math.log(x) + b * Math.log(1 - x));
    return x < (a + 1) / (a + b + 2) ? front * fraction(a, b, x) / a : 1 - front * fraction(b, a, 1 - x) / b;
  };
}

/** The continued fraction of the incomplete beta function, by Lentz's method (DLMF 8.17.22). */
function fraction(a, b, x) {
  const tiny = 1e-300, away = (value) => (Math.abs(value) < tiny ? tiny : value);
  let c = 1, d = 1 / away(1 - (a + b) * x / (a + 1)), found = d;
  for (let m = 1; m < 500; m += 1) {
    const even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away(1 + even * d);
    c = away(1 + even / c);
    found *= d * c;
    const odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away(1 + odd * d);
    c = away(1 + odd / c);
    found *= d * c;
    if (Math.abs(d * c - 1) < 1e-12) break;
  }
  return found;
}
