import { InfiniteQueryObserver, MutationObserver, QueryClient, QueryObserver } from "@tanstack/react-query";
import { expect, test, vi } from "vitest";
import { readAgain } from "../src/api/again";
import { bringUpToDate, type ListPage, liveList, pageOf } from "../src/api/lists";
import { Problem } from "../src/api/problems";
import { openClient } from "../src/shell/cache";

interface Row {
  id: string;
  state: string;
}

/** A list that is looked at, and the answers to what is asked of its sessions, given when the test says so. */
async function watchedList() {
  const answers: ((state: string) => void)[] = [];
  const client = new QueryClient();
  const list = new InfiniteQueryObserver(client, {
    queryKey: ["history"],
    queryFn: () => Promise.resolve<ListPage<Row>>(pageOf([{ id: "s1", state: "read first" }], null)),
    ...liveList<Row>({
      compare: () => 0,
      sessionOf: (row) => row.id,
      read: ([id = ""]) => new Promise((resolve) => answers.push((state) => resolve([{ id, state }]))),
    }),
  });
  const end = list.subscribe(() => undefined);
  await vi.waitFor(() => expect(list.getCurrentResult().data).toBeDefined());
  const states = () =>
    list.getCurrentResult().data?.pages.flatMap((page) => page.rows.map((row) => row.state));
  return { client, list, answers, states, end };
}

test("an older answer about a row that comes after a newer one is not what is shown", async () => {
  const { client, answers, states, end } = await watchedList();
  const first = bringUpToDate(client, new Set(["s1"]));
  const second = bringUpToDate(client, new Set(["s1"]));
  await vi.waitFor(() => expect(answers).toHaveLength(2));
  answers[1]?.("cancelled");
  await second;
  answers[0]?.("open");
  await vi.waitFor(() => expect(answers).toHaveLength(3));
  expect(states()).toEqual(["cancelled"]);
  answers[2]?.("cancelled");
  await first;
  expect(states()).toEqual(["cancelled"]);
  end();
});

test("a list that was left while its rows were asked for stays left", async () => {
  const { client, answers, states, end } = await watchedList();
  const work = bringUpToDate(client, new Set(["s1"]));
  await vi.waitFor(() => expect(answers).toHaveLength(1));
  end();
  client.clear();
  answers[0]?.("cancelled");
  await work;
  expect(states()).toEqual(["read first"]);
  expect(client.getQueryData(["history"])).toBeUndefined();
});

test("a list that is being read when everything is cleared away is not waited for", async () => {
  const client = new QueryClient();
  const one = new QueryObserver(client, {
    queryKey: ["session"],
    queryFn: () => new Promise(() => undefined),
  });
  const end = one.subscribe(() => undefined);
  const again = readAgain(client, { queryKey: ["session"] });
  client.clear();
  await again;
  end();
});

test("that somebody is not logged in is asked about again, but not for what was begun before the login", async () => {
  const client = openClient();
  const asked = vi.fn(() => Promise.resolve("somebody"));
  const end = new QueryObserver(client, { queryKey: ["me"], queryFn: asked }).subscribe(() => undefined);
  const refusals: (() => void)[] = [];
  const mutationFn = () =>
    new Promise<never>((_, reject) =>
      refusals.push(() => reject(new Problem({ code: "login-needed", status: 401 }))),
    );
  const begin = () => new MutationObserver(client, { mutationFn }).mutate().catch(() => undefined);
  const before = begin();
  await vi.waitFor(() => expect(refusals).toHaveLength(1));
  client.getMutationCache().clear();
  refusals[0]?.();
  await before;
  expect(asked).toHaveBeenCalledTimes(1);
  const now = begin();
  await vi.waitFor(() => expect(refusals).toHaveLength(2));
  refusals[1]?.();
  await now;
  expect(asked).toHaveBeenCalledTimes(2);
  end();
});
