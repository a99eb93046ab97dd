import type { Schemas } from "../api/client";
import { useWords } from "../i18n";
import { COLORS } from "./chart";
import { Trend } from "./Trend";

/** How many of the finished products were good, period by period. */
export function YieldTrend({ groups }: { groups: readonly Schemas["YieldGroup"][] }) {
  const { t, number } = useWords();
  const results = groups.map((one) => one.results);
  return (
    <Trend
      title={t("figures.trend")}
      name="trend"
      groups={groups.map((one) => one.group)}
      lines={[
        { label: t("figures.yield"), color: COLORS.yield, rates: results.map((one) => one.yield_rate) },
      ]}
      columns={[
        [t("home.completed"), results.map((one) => number(one.completed))],
        [t("verdict.OK"), results.map((one) => number(one.ok))],
        [t("verdict.NG"), results.map((one) => number(one.ng))],
        [
          t("figures.cycle"),
          results.map((one) => (one.mean_cycle_s === null ? "—" : `${number(one.mean_cycle_s, 1)} s`)),
        ],
      ]}
    />
  );
}

/** Where the AI was wrong, period by period: good ones refused, bad ones let through. */
export function AgreementTrend({ groups }: { groups: readonly Schemas["AgreementGroup"][] }) {
  const { t, number } = useWords();
  const agreed = groups.map((one) => one.agreement);
  return (
    <Trend
      title={t("figures.wrong")}
      name="wrong"
      groups={groups.map((one) => one.group)}
      lines={(["overkill", "escape"] as const).map((rate) => ({
        label: t(`figures.${rate}`),
        color: COLORS[rate],
        rates: agreed.map((one) => one[rate]),
      }))}
      columns={[[t("figures.compared"), agreed.map((one) => number(one.compared))]]}
    />
  );
}
