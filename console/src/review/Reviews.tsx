/** What a person must look at, longest waiting first, each leading to where it is decided. */
import Button from "@mui/material/Button";
import Chip from "@mui/material/Chip";
import Typography from "@mui/material/Typography";
import { useInfiniteQuery, useQueries, useQuery } from "@tanstack/react-query";
import type { Schemas } from "../api/client";
import { me } from "../api/queries";
import { useWords } from "../i18n";
import { Page } from "../ui/Page";
import { ProblemAlert } from "../ui/ProblemAlert";
import { Rows } from "../ui/Rows";
import { asResult, Verdict } from "../ui/Verdict";
import { Conflicts } from "./Conflicts";
import { itemsOf, reviewList } from "./queries";

export function Reviews() {
  const { t } = useWords();
  const { data: person } = useQuery(me);
  const found = useInfiniteQuery(reviewList);
  const pages = found.data?.pages.map((page) => page.rows) ?? [];
  const nameOf = useItemNames(pages.flat());
  return (
    <Page wide title={t("review")}>
      <ProblemAlert error={found.error} onRetry={() => void found.refetch()} />
      {found.data && pages.every((page) => page.length === 0) && <Typography>{t("review.none")}</Typography>}
      <Rows
        pages={pages}
        label={t("review")}
        name="reviews"
        onEnd={() => {
          if (found.hasNextPage && !found.isFetching) void found.fetchNextPage();
        }}
      >
        {(entry) => <Row entry={entry} item={nameOf(entry)} />}
      </Rows>
      {person && person.role !== "inspector" && <Conflicts />}
    </Page>
  );
}

/** The names of the entries' items; items that are no longer in the masters have none. */
function useItemNames(entries: readonly Schemas["ReviewEntry"][]): (entry: Schemas["ReviewEntry"]) => string {
  const { name } = useWords();
  const codes = [...new Set(entries.map((entry) => entry.product_code))];
  const answers = useQueries({ queries: codes.map(itemsOf) });
  const known = new Map(
    answers.flatMap(({ data }) => data?.items ?? []).map((one) => [one.id, name(one.item_name)]),
  );
  return (entry) => known.get(entry.item_id) ?? "";
}

function Row({ entry, item }: { entry: Schemas["ReviewEntry"]; item: string }) {
  const { t, time } = useWords();
  return (
    <Button
      href={`#/sessions/${entry.session_id}/items/${entry.item_id}`}
      variant="text"
      color="inherit"
      fullWidth
      sx={{ height: 1, gap: 2, justifyContent: "flex-start" }}
    >
      <span style={{ minWidth: "9rem" }}>{time(entry.updated_at)}</span>
      <span style={{ flexGrow: 1, textAlign: "left" }}>
        {entry.product_code} · {entry.serial_no} · {item}
      </span>
      {entry.review === "SAMPLED" && <Chip size="small" variant="outlined" label={t("review.sampled")} />}
      <Verdict size="small" label="AI" result={asResult(entry.ai_result)} />
    </Button>
  );
}
