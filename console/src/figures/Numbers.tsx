import Box from "@mui/material/Box";
import Card from "@mui/material/Card";
import CardContent from "@mui/material/CardContent";
import Typography from "@mui/material/Typography";
import type { Schemas } from "../api/client";
import { useWords } from "../i18n";
import { shareOf } from "./counts";

/** The figures of the whole period; rates with their 95 % intervals. */
export function Numbers(props: { yields: Schemas["Yield"]; agreement: Schemas["Agreement"] }) {
  const { t, number } = useWords();
  const { yields, agreement } = props;
  const rates = [
    ["yield", yields.yield_rate],
    ["accuracy", agreement.accuracy],
    ["overkill", agreement.overkill],
    ["escape", agreement.escape],
  ] as const;
  const counts = [
    ["home.completed", yields.completed],
    ["verdict.OK", yields.ok],
    ["verdict.NG", yields.ng],
    ["verdict.HOLD", yields.review],
  ] as const;
  return (
    <Box sx={{ display: "grid", gap: 1, gridTemplateColumns: "repeat(auto-fill, minmax(13rem, 1fr))" }}>
      {counts.map(([word, count]) => (
        <Figure key={word} name={t(word)} value={number(count)} />
      ))}
      <Figure
        name={t("figures.cycle")}
        value={yields.mean_cycle_s === null ? "—" : `${number(yields.mean_cycle_s, 1)} s`}
      />
      {rates.map(([word, rate]) => {
        const share = shareOf(rate);
        return (
          <Figure
            key={word}
            name={t(`figures.${word}`)}
            value={share ? `${number(share.value, 1)} %` : "—"}
            more={
              share
                ? t("figures.interval", {
                    low: number(share.low, 1),
                    high: number(share.high, 1),
                    cases: number(rate.cases),
                  })
                : undefined
            }
          />
        );
      })}
    </Box>
  );
}

function Figure({ name, value, more }: { name: string; value: string; more?: string }) {
  return (
    <Card variant="outlined" data-figure={name}>
      <CardContent sx={{ textAlign: "center" }}>
        <Typography variant="h4" component="p">
          {value}
        </Typography>
        <Typography>{name}</Typography>
        {more && (
          <Typography variant="body2" color="textSecondary">
            {more}
          </Typography>
        )}
      </CardContent>
    </Card>
  );
}
