/** The agent's events, turned into "read again". */
import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useState } from "react";
import { follow, type Link } from "../api/live";
import { staleAfter } from "../api/stale";

const GATHER_MS = 150; // a folder of pictures gives a burst of events: one reading answers them all

const Context = createContext<Link | null>(null);
/** Whether the agent is there: null until it is known. */
export const useLink = (): Link | null => useContext(Context);

export function Live({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [link, setLink] = useState<Link | null>(null);
  useEffect(() => {
    const stale = new Set<string>();
    let isAll = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const readAgain = () => {
      timer = undefined;
      const names = new Set(stale);
      const everything = isAll;
      stale.clear();
      isAll = false;
      void client.invalidateQueries({
        predicate: ({ queryKey }) => everything || names.has(String(queryKey[0])),
      });
    };
    const end = follow({
      onLink: setLink,
      onEvent: (event) => {
        const names = staleAfter(event);
        if (names === null) isAll = true;
        else for (const name of names) stale.add(name);
        timer ??= setTimeout(readAgain, GATHER_MS);
      },
    });
    return () => {
      clearTimeout(timer);
      end();
    };
  }, [client]);
  return <Context value={link}>{children}</Context>;
}
