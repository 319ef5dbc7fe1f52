// Requests to the gateway that served this page.

const key = "limpet-api-token";

let askForToken = () => {};
export const onTokenNeeded = (f) => { askForToken = f; };
export const hasToken = () => sessionStorage.getItem(key) !== null;
export const setToken = (token) => sessionStorage.setItem(key, token);

export async function request(method, path, body, signal) {
  const headers = {};
  const token = sessionStorage.getItem(key);
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal });
  if (answer.status === 401) askForToken();
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw Object.assign(new Error(problem.detail ?? `${answer.status} ${answer.statusText}`), { status: answer.status });
  }
  return answer;
}

export const json = async (method, path, body) => (await request(method, path, body)).json();

// events calls each with every server-sent event until the stream ends. It is
// read with fetch because EventSource cannot send the token.
export async function events(path, each) {
  const silence = new AbortController();
  let timer;
  const alive = () => { clearTimeout(timer); timer = setTimeout(() => silence.abort(), 10_000); };
  alive();
  try {
    const answer = await request("GET", path, undefined, silence.signal);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ;) {
      const { value, done } = await reader.read();
      if (done) return;
      alive();
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const p of parts) if (p.startsWith("data: ")) each(JSON.parse(p.slice(6)));
    }
  } finally {
    clearTimeout(timer);
    silence.abort();
  }
}

// segments escapes a name for a path that may hold slashes.
export const segments = (name) => name.split("/").map(encodeURIComponent).join("/");
