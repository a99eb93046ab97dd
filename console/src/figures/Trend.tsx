/** Rates over time with their 95 % intervals, and the same as a table for whoever does not see lines. */
import { LineChart } from "@mui/x-charts/LineChart";
import { useXScale, useYScale } from "@mui/x-charts/hooks";
import type { ReactNode } from "react";
import type { Schemas } from "../api/client";
import { useWords } from "../i18n";
import { Details } from "../ui/Details";
import { Grid } from "../ui/Grid";
import { Section } from "../ui/Section";
import { AXIS_PX, CHART_PX } from "./chart";
import { type Share, shareOf } from "./counts";

export interface Line {
  label: string;
  color: string;
  /** One for each group. */
  rates: readonly Schemas["Rate"][];
}

export function Trend(props: {
  title: string;
  /** For tests. */
  name: string;
  groups: readonly string[];
  lines: readonly Line[];
  /** Further columns of the table: its head, and a cell for each group. */
  columns?: readonly (readonly [string, readonly ReactNode[]])[];
}) {
  const { t, number } = useWords();
  const { title, groups, columns = [] } = props;
  const lines = props.lines.map((line) => ({ ...line, shares: line.rates.map(shareOf) }));
  const said = (share: Share | null | undefined) =>
    share ? t("figures.share", inWords(share, number)) : "—";
  return (
    <Section title={title}>
      <div aria-hidden data-testid={props.name}>
        <LineChart
          height={CHART_PX}
          skipAnimation
          disableKeyboardNavigation
          xAxis={[{ scaleType: "point", height: AXIS_PX, data: [...groups] }]}
          yAxis={[{ min: 0, max: 100 }]}
          series={lines.map(({ label, color, shares }) => ({
            label,
            color,
            data: shares.map((share) => share?.value ?? null),
            showMark: true,
            valueFormatter: (_value, { dataIndex }) => said(shares[dataIndex]),
          }))}
        >
          {lines.map(({ label, color, shares }, index) => (
            <Intervals
              key={label}
              groups={groups}
              shares={shares}
              color={color}
              shift_px={SHIFT_PX * (index - (lines.length - 1) / 2)}
            />
          ))}
        </LineChart>
      </div>
      <Details title={t("figures.table")}>
        <Grid
          label={title}
          heads={[t("figures.period"), ...columns.map(([head]) => head), ...lines.map(({ label }) => label)]}
          rows={groups.map((group, at) => ({
            key: group,
            cells: [
              group,
              ...columns.map(([, cells]) => cells[at]),
              ...lines.map(({ shares }) => said(shares[at])),
            ],
          }))}
        />
      </Details>
    </Section>
  );
}

const SHIFT_PX = 8; // intervals of the same period stand side by side

/** From the lower to the upper end of each interval, behind the marks. */
function Intervals(props: {
  groups: readonly string[];
  shares: readonly (Share | null)[];
  color: string;
  shift_px: number;
}) {
  const [x, y] = [useXScale<"point">(), useYScale<"linear">()];
  const path = props.shares.map((share, at) => {
    const middle = x(props.groups[at] ?? "");
    if (share === null || middle === undefined) return "";
    const left = middle + props.shift_px;
    return `M${left} ${y(share.low)}V${y(share.high)}`;
  });
  return (
    <path
      d={path.join("")}
      stroke={props.color}
      strokeWidth="3"
      strokeOpacity="0.45"
      fill="none"
      data-part="intervals"
    />
  );
}

type Number = ReturnType<typeof useWords>["number"];
const inWords = (share: Share, number: Number) => ({
  value: number(share.value, 1),
  low: number(share.low, 1),
  high: number(share.high, 1),
  cases: number(share.cases),
});
