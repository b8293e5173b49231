// The verdict on the laboratory: what to expect of the model on these cells.

import {$, make, plural} from "./dom.js";
import {state} from "./state.js";

const VERDICTS = {
  "fit": "Fit for use.",
  "label 32 cells first": "Label 32 cells first.",
  "not fit": "Not fit for these cells.",
};
const percent = (share) => (100 * share).toFixed(0);

export function draw() {
  const {check} = state, box = $("check");
  box.hidden = !check?.verdict;
  if (box.hidden) return;
  const {verdict, expected_accuracy: {value, low, high}, drift_p_value, num_cells, unlike, reasons} = check;
  box.dataset.verdict = verdict;
  box.querySelector(".verdict").textContent = VERDICTS[verdict];
  box.querySelector(".text").textContent =
    `Expected accuracy ${percent(value)} % (90 % interval ${percent(low)} to ${percent(high)}). ` +
    (drift_p_value < 0.05 ? "The cells differ from the training cells" : "No difference from the training cells was found") +
    `; ${unlike.length.toLocaleString("en")} of ${plural(num_cells, "cell")} ${unlike.length === 1 ? "is" : "are"} unlike them.`;
  box.querySelector("ul").replaceChildren(...reasons.map((textContent) => make("li", {textContent})));
}
