import { LineChart } from "@mui/x-charts/LineChart";
import type { Schemas } from "../api/client";
import { Details } from "../flow/AiFacts";
import { useWords } from "../i18n";
import { Grid } from "../ui/Grid";
import { Section } from "../ui/Section";
import { AXIS_PX, CHART_PX, COLORS } from "./chart";
import { shareOf } from "./counts";

/** The yield over time, and the same as a table for whoever does not see the line. */
export function Trend({ groups }: { groups: readonly Schemas["YieldGroup"][] }) {
  const { t, number } = useWords();
  const shares = groups.map((one) => shareOf(one.results.yield_rate));
  const percent = (value: number | null | undefined) =>
    value === null || value === undefined ? "—" : `${number(value, 1)} %`;
  return (
    <Section title={t("figures.trend")}>
      <div aria-hidden data-testid="trend">
        <LineChart
          height={CHART_PX}
          skipAnimation
          disableKeyboardNavigation
          xAxis={[{ scaleType: "point", height: AXIS_PX, data: groups.map((one) => one.group) }]}
          yAxis={[{ min: 0, max: 100 }]}
          series={[
            {
              label: t("figures.yield"),
              data: shares.map((one) => one?.value ?? null),
              color: COLORS.line,
              showMark: true,
              valueFormatter: percent,
            },
          ]}
        />
      </div>
      <Details title={t("figures.table")}>
        <Grid
          label={t("figures.trend")}
          heads={[
            t("figures.period"),
            t("home.completed"),
            t("verdict.OK"),
            t("verdict.NG"),
            t("figures.yield"),
            t("figures.cycle"),
          ]}
          rows={groups.map(({ group, results }, index) => ({
            key: group,
            cells: [
              group,
              number(results.completed),
              number(results.ok),
              number(results.ng),
              percent(shares[index]?.value),
              results.mean_cycle_s === null ? "—" : `${number(results.mean_cycle_s, 1)} s`,
            ],
          }))}
        />
      </Details>
    </Section>
  );
}
