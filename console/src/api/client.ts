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

/** What the generated client would wrap: bytes sent raw, or an answer that is a file. */
async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = { ...init.headers, "Accept-Language": language };
  const response = await fetch(path, { ...init, headers }).catch(() => {
    throw new Problem({ code: UNREACHABLE });
  });
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** Sends a file's bytes (a picture, a model package). */
export async function postFile<T>(path: string, file: Blob, key = newKey()): Promise<T> {
  const headers = { "Content-Type": file.type || "application/octet-stream", "Idempotency-Key": key };
  const response = await ask(`/api/v1${path}`, { method: "POST", body: file, headers });
  return (await response.json()) as T;
}

/** A file that the agent makes, and what it calls it. */
export async function fetchFile(path: string): Promise<File> {
  const response = await ask(`/api/v1${path}`);
  const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1];
  return new File([await response.blob()], name ?? "download");
}

export type Picture = "original" | "overlay" | "heatmap" | "thumbnail";
export const pictureUrl = (imageId: string, kind: Picture): string =>
  `/api/v1/images/${encodeURIComponent(imageId)}/${kind}`;

/** A picture's bytes as a data URL that needs no release. */
export async function fetchPicture(url: string): Promise<string> {
  const response = await ask(url);
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
