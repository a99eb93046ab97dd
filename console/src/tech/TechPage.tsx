/** The frame of the technician's pages: one heading, and the way from each to the others. */
import Button from "@mui/material/Button";
import Stack from "@mui/material/Stack";
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useLocation } from "react-router";
import type { Schemas } from "../api/client";
import { me } from "../api/queries";
import { type Key, useWords } from "../i18n";
import { Page } from "../ui/Page";

const PAGES: readonly { path: string; word: Key; roles?: readonly Schemas["Role"][] }[] = [
  { path: "/tech", word: "tech.sync" },
  { path: "/tech/health", word: "tech.health" },
  { path: "/tech/models", word: "tech.models" },
  { path: "/tech/equipment", word: "tech.equipment" },
  { path: "/tech/users", word: "tech.users", roles: ["admin"] },
  { path: "/tech/audit", word: "audit" },
];

export function TechPage(props: { title: string; children: ReactNode }) {
  const { t } = useWords();
  const { pathname } = useLocation();
  const { data } = useQuery(me);
  const offered = PAGES.filter((page) => !page.roles || (data && page.roles.includes(data.role)));
  return (
    <Page wide title={props.title}>
      <Stack
        direction="row"
        useFlexGap
        component="nav"
        aria-label={t("tech")}
        sx={{ flexWrap: "wrap", gap: 1 }}
      >
        {offered.map(({ path, word }) => (
          <Button
            key={path}
            href={`#${path}`}
            variant={pathname === path ? "contained" : "outlined"}
            aria-current={pathname === path ? "page" : undefined}
          >
            {t(word)}
          </Button>
        ))}
      </Stack>
      {props.children}
    </Page>
  );
}

/** Whether this person may change how the agent works; others see the same without the buttons. */
export function useIsTechnician(): boolean {
  const { data } = useQuery(me);
  return data?.role === "technician" || data?.role === "admin";
}
