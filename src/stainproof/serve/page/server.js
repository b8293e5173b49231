// Requests to the server that this page came from; there is no other.

export class Refusal extends Error {}  // the server answered, with a reason
export class Unreachable extends Error {}  // no answer

const sleep = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

/** Send a request; one that the server is too busy for is sent again after the time it names. */
async function send(path, options = {}) {
  for (;;) {
    let answer;
    try {
      answer = await fetch(path, options);
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new Unreachable("the server cannot be reached");
    }
    if (answer.status === 401) location.assign("/login");
    if (answer.status === 503) {
      await sleep(Number(answer.headers.get("Retry-After")) || 1);
      continue;
    }
    if (answer.ok) return answer.json();
    const reason = await answer.json().catch(() => ({}));
    throw new Refusal(reason.detail ?? `the server answered ${answer.status}`);
  }
}

export const get = (path) => send(path);

export const post = (path, body = {}, signal = undefined) => send(path, {
  method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body), signal,
});

export function upload(path, files, signal) {
  const form = new FormData();
  for (const [name, file] of files) form.append("images", file, name);
  return send(path, {method: "POST", body: form, signal});
}

export const pictureOf = (id) => `/api/cells/${id}/picture`;

/** The address of a picture with what the network looks at; null if there is none. */
export const explanationOf = (id, reviewer) => `/api/cells/${id}/explanation?reviewer=${reviewer}`;

/** The address of the photograph that a cell was cut from; null if there is none. */
export const fieldPictureOf = (id) => `/api/cells/${id}/field/picture`;

/** The address of an export; null if there is no such one. */
export const exported = async (name, reviewer) => `/api/export/${name}?reviewer=${reviewer}`;

export async function isUp() {
  try {
    return (await fetch("/healthz")).ok;
  } catch {
    return false;
  }
}
