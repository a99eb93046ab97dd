import Typography from "@mui/material/Typography";
import { BarChart } from "@mui/x-charts/BarChart";
import { useQuery } from "@tanstack/react-query";
import type { Schemas } from "../api/client";
import { reasons as offered } from "../api/queries";
import { useWords } from "../i18n";
import { Grid } from "../ui/Grid";
import { Section } from "../ui/Section";
import { AXIS_PX, CHART_PX, COLORS } from "./chart";
import { paretoOf } from "./counts";

/** Why people decided NG, most frequent first, with the share that the first ones make up. */
export function Pareto({ reasons }: { reasons: readonly Schemas["ReasonCount"][] }) {
  const { t, number, language } = useWords();
  const known = useQuery(offered);
  const bars = paretoOf(reasons);
  const nameOf = (code: string) =>
    known.data?.reasons?.find((one) => one.code === code)?.[language] ?? (code || t("figures.unsaid"));
  return (
    <Section title={t("figures.pareto")}>
      {bars.length === 0 ? (
        <Typography>{t("figures.none")}</Typography>
      ) : (
        <>
          <div aria-hidden data-testid="pareto">
            <BarChart
              height={CHART_PX}
              skipAnimation
              disableKeyboardNavigation
              xAxis={[{ scaleType: "band", height: AXIS_PX, data: bars.map((bar) => nameOf(bar.code)) }]}
              series={[{ label: t("verdict.NG"), data: bars.map((bar) => bar.count), color: COLORS.bar }]}
            />
          </div>
          <Grid
            label={t("figures.pareto")}
            heads={[t("reason"), t("sync.count"), t("figures.cumulative")]}
            rows={bars.map((bar) => ({
              key: bar.code,
              cells: [nameOf(bar.code), number(bar.count), `${number(bar.cumulative, 1)} %`],
            }))}
          />
        </>
      )}
    </Section>
  );
}
