/**
 * The agent's events, for every window of this browser through one connection.
 *
 * Rules of this file:
 * - A browser opens six connections to a host in all: the window that holds the lock follows the stream and
 *   tells the others; when it closes, another takes over.
 * - The browser reconnects by itself with the last id it saw; only a refused stream is opened again by us.
 */
export interface LiveEvent {
  kind: string;
  facts: Record<string, unknown>;
}
export type Link = "open" | "lost";
type Message = { event: LiveEvent } | { link: Link } | "hello";

const URL = "/api/v1/events";
const KINDS = ["session", "image", "verdict", "folder", "health", "masters", "sync", "reset"];
const AGAIN_MS = 3000;

export interface Listener {
  onEvent: (event: LiveEvent) => void;
  onLink: (link: Link) => void;
}

/** Follows until the returned function is called. */
export function follow(listener: Listener): () => void {
  const ended = new AbortController();
  if (!("locks" in navigator)) {
    openStream(listener, ended.signal); // not a secure context: every window on its own
    return () => ended.abort();
  }
  const others = new BroadcastChannel("agent-events");
  let link: Link | null = null;
  let isLeader = false;
  const told: Listener = {
    onEvent: (event) => {
      listener.onEvent(event);
      others.postMessage({ event } satisfies Message);
    },
    onLink: (now) => {
      link = now;
      listener.onLink(now);
      others.postMessage({ link: now } satisfies Message);
    },
  };
  others.onmessage = ({ data }: MessageEvent<Message>) => {
    if (data === "hello") {
      if (isLeader && link !== null) others.postMessage({ link } satisfies Message);
    } else if ("event" in data) listener.onEvent(data.event);
    else listener.onLink(data.link);
  };
  others.postMessage("hello" satisfies Message);
  navigator.locks
    .request("agent-events", { signal: ended.signal }, () => {
      isLeader = true;
      openStream(told, ended.signal);
      return new Promise<void>((resolve) => ended.signal.addEventListener("abort", () => resolve()));
    })
    .catch(() => undefined); // ended while waiting
  ended.signal.addEventListener("abort", () => others.close());
  return () => ended.abort();
}

function openStream(listener: Listener, ended: AbortSignal): void {
  if (ended.aborted) return;
  const source = new EventSource(URL);
  ended.addEventListener("abort", () => source.close(), { once: true });
  let isFirst = true;
  source.onopen = () => {
    listener.onLink("open");
    if (isFirst) listener.onEvent({ kind: "reset", facts: {} }); // what happened before is not known
    isFirst = false; // from now on the browser says where it was
  };
  source.onerror = () => {
    listener.onLink("lost");
    if (source.readyState === EventSource.CLOSED) setTimeout(openStream, AGAIN_MS, listener, ended);
  };
  for (const kind of KINDS) {
    source.addEventListener(kind, (message) => {
      listener.onEvent({ kind, facts: JSON.parse((message as MessageEvent<string>).data) });
    });
  }
}
