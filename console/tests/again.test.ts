import { InfiniteQueryObserver, QueryClient, QueryObserver } from "@tanstack/react-query";
import { expect, test, vi } from "vitest";
import { keep, readAgain, readOn } from "../src/api/again";

/** Answers that are given when the test says so; `asked` is what was asked for, in order. */
function agent() {
  const waiting: (() => void)[] = [];
  const asked: number[] = [];
  const read = ({ pageParam = 0 }: { pageParam?: unknown }) => {
    asked.push(pageParam as number);
    return new Promise<string>((resolve) => waiting.push(() => resolve(`page ${String(pageParam)}`)));
  };
  const nextAnswer = async () => {
    await vi.waitFor(() => expect(waiting).not.toEqual([]));
    waiting.shift()?.();
  };
  return { asked, read, nextAnswer };
}
const options = { retry: false, networkMode: "always" } as const;

test("a further page that is being read when something changes comes, and then all is read again", async () => {
  const { asked, read, nextAnswer } = agent();
  const client = new QueryClient();
  const list = new InfiniteQueryObserver(client, {
    ...options,
    queryKey: ["sync", "queue"],
    queryFn: read,
    initialPageParam: 0,
    getNextPageParam: (_page, pages) => pages.length,
  });
  const end = list.subscribe(() => undefined);
  await nextAnswer();
  await list.refetch({ cancelRefetch: false });
  const more = list.fetchNextPage();
  const again = readAgain(client, { queryKey: ["sync"] });
  await nextAnswer();
  await more;
  expect(list.getCurrentResult().data?.pages).toEqual(["page 0", "page 1"]);
  await nextAnswer();
  await nextAnswer();
  await again;
  expect(asked).toEqual([0, 1, 0, 1]);
  expect(list.getCurrentResult().data?.pages).toEqual(["page 0", "page 1"]);
  end();
});

test("what was asked for before the change is not taken for its answer", async () => {
  const { asked, read, nextAnswer } = agent();
  const client = new QueryClient();
  const one = new QueryObserver(client, { ...options, queryKey: ["health"], queryFn: read });
  const end = one.subscribe(() => undefined);
  const again = readAgain(client, { queryKey: ["health"] });
  await nextAnswer();
  await nextAnswer();
  await again;
  expect(asked).toHaveLength(2);
  end();
});

test("an answer that failed is followed by another attempt, and nothing is thrown", async () => {
  const client = new QueryClient();
  const answers = [() => Promise.reject(new Error("away")), () => Promise.resolve("there")];
  const one = new QueryObserver(client, {
    ...options,
    queryKey: ["health"],
    queryFn: () => answers.shift()?.() ?? Promise.resolve("again"),
  });
  const end = one.subscribe(() => undefined);
  await readAgain(client, { queryKey: ["health"] });
  expect(one.getCurrentResult().data).toBe("there");
  end();
});

test("what nobody looks at is only marked", async () => {
  const client = new QueryClient();
  client.setQueryData(["health"], "old");
  await readAgain(client, { queryKey: ["health"] });
  expect(client.getQueryState(["health"])).toMatchObject({ data: "old", isInvalidated: true });
});

test("an older answer that comes late does not overwrite what a change gave", async () => {
  const answers: ((text: string) => void)[] = [];
  const client = new QueryClient();
  const one = new QueryObserver<string>(client, {
    ...options,
    queryKey: ["session", "1"],
    queryFn: () => new Promise((resolve) => answers.push(resolve)),
  });
  const end = one.subscribe(() => undefined);
  keep(client, ["session", "1"], "completed");
  answers[0]?.("open");
  await vi.waitFor(() => expect(answers).toHaveLength(2));
  expect(one.getCurrentResult().data).toBe("completed");
  answers[1]?.("completed, and seen by another");
  await vi.waitFor(() => expect(one.getCurrentResult().data).toBe("completed, and seen by another"));
  end();
});

test("what a change gave is not asked for again when nobody was asking", () => {
  const client = new QueryClient();
  const read = vi.fn(() => Promise.resolve("old"));
  const one = new QueryObserver(client, { ...options, queryKey: ["session"], queryFn: read, enabled: false });
  const end = one.subscribe(() => undefined);
  keep(client, ["session"], "new");
  expect(one.getCurrentResult().data).toBe("new");
  expect(read).not.toHaveBeenCalled();
  end();
});

test("a list that is being read again when its next page is asked for is read to its end first", async () => {
  const { asked, read, nextAnswer } = agent();
  const client = new QueryClient();
  const list = new InfiniteQueryObserver(client, {
    ...options,
    queryKey: ["sync", "queue"],
    queryFn: read,
    initialPageParam: 0,
    getNextPageParam: (_page, pages) => pages.length,
  });
  const end = list.subscribe(() => undefined);
  await nextAnswer();
  await list.refetch({ cancelRefetch: false });
  const again = readAgain(client, { queryKey: ["sync"] });
  await vi.waitFor(() => expect(asked).toEqual([0, 0]));
  const more = readOn(list.getCurrentResult());
  await nextAnswer();
  await nextAnswer();
  await Promise.all([again, more]);
  expect(asked).toEqual([0, 0, 1]);
  end();
});
