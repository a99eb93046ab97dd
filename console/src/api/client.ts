/**
 * The agent's API, typed from docs/openapi.json.
 *
 * Rules of this file:
 * - Whoever calls gets the answer or a thrown Problem, never a status to look at.
 * - A write carries an Idempotency-Key: sent again after a lost answer it is done once.
 */
import createClient, { type Middleware } from "openapi-fetch";
import { Problem, problemOf, UNREACHABLE } from "./problems";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];

let language = "ja";
/** The language of titles and hints in problems. */
export const speak = (chosen: string): void => {
  language = chosen;
};

const rules: Middleware = {
  onRequest({ request }) {
    request.headers.set("Accept-Language", language);
    if (request.method !== "GET" && !request.headers.has("Idempotency-Key")) {
      request.headers.set("Idempotency-Key", newKey());
    }
    return request;
  },
  async onResponse({ response }) {
    if (!response.ok) throw await problemOf(response);
  },
  onError() {
    return new Problem({ code: UNREACHABLE });
  },
};

// The desktop shell opens its window at the agent's address, so the agent is always where we came from.
export const api = createClient<paths>({ baseUrl: "", fetch: (r) => fetch(r) });
api.use(rules);

/** The answer's body; openapi-fetch types it as possibly absent, but a missing one was thrown. */
export async function read<T>(answer: Promise<{ data?: T }>): Promise<T> {
  return (await answer).data as T;
}

export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID needs https outside localhost
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A picture's bytes, sent raw; the generated client would wrap them. */
export async function postPicture<T>(path: string, picture: Blob, key = newKey()): Promise<T> {
  const headers = {
    "Content-Type": picture.type || "application/octet-stream",
    "Idempotency-Key": key,
    "Accept-Language": language,
  };
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, { method: "POST", body: picture, headers });
  } catch {
    throw new Problem({ code: UNREACHABLE });
  }
  if (!response.ok) throw await problemOf(response);
  return (await response.json()) as T;
}

export type Picture = "original" | "overlay" | "heatmap" | "thumbnail";
export const pictureUrl = (imageId: string, kind: Picture): string =>
  `/api/v1/images/${encodeURIComponent(imageId)}/${kind}`;

/** A picture's bytes as a data URL that needs no release. */
export async function fetchPicture(url: string): Promise<string> {
  const response = await fetch(url, { headers: { "Accept-Language": language } }).catch(() => {
    throw new Problem({ code: UNREACHABLE });
  });
  if (!response.ok) throw await problemOf(response);
  return dataUrl(await response.blob());
}

function dataUrl(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
