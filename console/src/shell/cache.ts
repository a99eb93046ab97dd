/** What is kept of the agent's answers, and when it is asked again. */
import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";
import { Problem, UNREACHABLE } from "../api/problems";
import { me } from "../api/queries";

const TRIES = 2;

export function openClient(): QueryClient {
  const isLoggedOut = (error: unknown) => error instanceof Problem && error.status === 401;
  const askWhoThisIs = () => void client.resetQueries({ queryKey: me.queryKey }); // the layout then asks to log in
  const client: QueryClient = new QueryClient({
    queryCache: new QueryCache({
      onError: (error, { queryKey }) => {
        if (isLoggedOut(error) && queryKey[0] !== me.queryKey[0]) askWhoThisIs();
      },
    }),
    mutationCache: new MutationCache({
      onError: (error, _given, _before, { mutationId }) => {
        const begun = client.getMutationCache().getAll(); // a login clears away what was begun before it
        if (isLoggedOut(error) && begun.some((one) => one.mutationId === mutationId)) askWhoThisIs();
      },
    }),
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
