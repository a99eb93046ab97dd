import Button from "@mui/material/Button";
import type { UseInfiniteQueryResult } from "@tanstack/react-query";
import { readOn } from "../api/again";
import { useWords } from "../i18n";

/** The next page of a list, for as long as there is one. */
export function More({ of }: { of: UseInfiniteQueryResult }) {
  const { t } = useWords();
  if (!of.hasNextPage) return null;
  return (
    <Button loading={of.isFetchingNextPage} onClick={() => void readOn(of)}>
      {t("more")}
    </Button>
  );
}
