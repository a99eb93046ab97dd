/** The agent's events, turned into "read again". */
import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useState } from "react";
import { readAgain } from "../api/again";
import { bringUpToDate } from "../api/lists";
import { follow, type Link } from "../api/live";
import { sessionIn, staleAfter } from "../api/stale";

const GATHER_MS = 150; // a folder of pictures gives a burst of events: one reading answers them all

const nothing = () => ({ names: new Set<string>(), sessions: new Set<string>(), isAll: false });

const Context = createContext<Link | null>(null);
/** Whether the agent is there: null until it is known. */
export const useLink = (): Link | null => useContext(Context);

export function Live({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [link, setLink] = useState<Link | null>(null);
  useEffect(() => {
    let gathered = nothing();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const answer = () => {
      const { names, sessions, isAll } = gathered;
      timer = undefined;
      gathered = nothing();
      void readAgain(client, {
        predicate: ({ queryKey, meta }) => !meta?.live && (isAll || names.has(String(queryKey[0]))),
      });
      bringUpToDate(client, isAll ? null : sessions).catch(() => undefined); // the agent is away: `reset` follows
    };
    const end = follow({
      onLink: setLink,
      onEvent: (event) => {
        const names = staleAfter(event);
        const session = sessionIn(event);
        gathered.isAll ||= names === null;
        for (const name of names ?? []) gathered.names.add(name);
        if (session !== null) gathered.sessions.add(session);
        timer ??= setTimeout(answer, GATHER_MS);
      },
    });
    return () => {
      clearTimeout(timer);
      end();
    };
  }, [client]);
  return <Context value={link}>{children}</Context>;
}
