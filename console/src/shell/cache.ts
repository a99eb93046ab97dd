/** What is kept of the agent's answers, and when it is asked again. */
import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";
import { Problem, UNREACHABLE } from "../api/problems";
import { me } from "../api/queries";

const TRIES = 2;

export function openClient(): QueryClient {
  const loggedOut = (error: unknown) => {
    if (error instanceof Problem && error.status === 401) client.setQueryData(me.queryKey, undefined);
  };
  const client: QueryClient = new QueryClient({
    queryCache: new QueryCache({ onError: loggedOut }),
    mutationCache: new MutationCache({ onError: loggedOut }),
    defaultOptions: {
      // "always": the agent is on this machine, whatever the browser thinks of the network
      queries: { retry: isWorthAnotherTry, networkMode: "always", staleTime: 2000 },
      mutations: { networkMode: "always" },
    },
  });
  return client;
}

/** An agent that restarts answers in a moment; what it refused it would refuse again. */
export function isWorthAnotherTry(failures: number, error: unknown): boolean {
  return failures < TRIES && error instanceof Problem && error.code === UNREACHABLE;
}
