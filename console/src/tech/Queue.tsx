import { useInfiniteQuery } from "@tanstack/react-query";
import { useWords } from "../i18n";
import { Grid } from "../ui/Grid";
import { More } from "../ui/More";
import { Loaded } from "../ui/Page";
import { Section } from "../ui/Section";
import { queue } from "./queries";

/** What is sent next, oldest first, a hundred entries at a time. */
export function Queue() {
  const { t, time } = useWords();
  const found = useInfiniteQuery(queue);
  return (
    <Section title={t("queue")}>
      <Loaded of={found}>
        {({ pages }) => (
          <Grid
            label={t("queue")}
            heads={[t("audit.number"), t("audit.at"), t("audit.subject"), t("audit.action"), t("sync.error")]}
            rows={pages
              .flatMap((page) => page.entries)
              .map((one) => ({
                key: one.id,
                cells: [
                  one.id,
                  time(one.created_at),
                  `${one.entity_type} ${one.entity_id}`,
                  one.operation,
                  one.error_code ?? "—",
                ],
              }))}
          />
        )}
      </Loaded>
      <More of={found} />
    </Section>
  );
}
