/** How good the line is, and how far people and AI agree. */
import MenuItem from "@mui/material/MenuItem";
import Stack from "@mui/material/Stack";
import TextField from "@mui/material/TextField";
import ToggleButton from "@mui/material/ToggleButton";
import ToggleButtonGroup from "@mui/material/ToggleButtonGroup";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Schemas } from "../api/client";
import { info } from "../api/queries";
import { dayOf } from "../flow/day";
import { products } from "../history/queries";
import { useWords } from "../i18n";
import { Loaded, Page } from "../ui/Page";
import { Numbers } from "./Numbers";
import { Pareto } from "./Pareto";
import { daysBefore } from "./counts";
import { type About, agreement, PERIODS, type Period, reasonCounts, yields } from "./queries";
import { AgreementTrend, YieldTrend } from "./Trends";

const SHOWN_DAYS = 30;
const MOST_HOUR_DAYS = 7; // the agent counts hours of a week at most

const laterOf = (one: string, other: string): string => (one > other ? one : other);

export function Figures() {
  const { t } = useWords();
  const agent = useQuery(info);
  return (
    <Page wide title={t("figures")}>
      <Loaded of={agent}>{(one) => <Chosen today={dayOf(one.now, one.time_zone)} />}</Loaded>
    </Page>
  );
}

function Chosen({ today }: { today: string }) {
  const [about, setAbout] = useState<About>({
    since_day: daysBefore(today, SHOWN_DAYS - 1),
    until_day: today,
  });
  const [period, setPeriod] = useState<Period>("day");
  const made = useQuery(yields(about, period));
  const agreed = useQuery(agreement(about, period));
  const choose = (chosen: Period) => {
    if (chosen === "hour")
      setAbout({
        ...about,
        since_day: laterOf(about.since_day, daysBefore(about.until_day, MOST_HOUR_DAYS - 1)),
      });
    setPeriod(chosen);
  };
  const why = useQuery(reasonCounts(about));
  return (
    <>
      <Choices about={about} onAbout={setAbout} period={period} onPeriod={choose} />
      <Loaded of={made}>
        {(one) => (
          <Loaded of={agreed}>{(other) => <Numbers yields={one.total} agreement={other.total} />}</Loaded>
        )}
      </Loaded>
      {made.data && <YieldTrend groups={made.data.groups} />}
      {agreed.data && <AgreementTrend groups={agreed.data.groups} />}
      <Loaded of={why}>{(one) => <Pareto reasons={one.reasons} />}</Loaded>
    </>
  );
}

function Choices(props: {
  about: About;
  onAbout: (about: About) => void;
  period: Period;
  onPeriod: (period: Period) => void;
}) {
  const { t, name } = useWords();
  const { about, onAbout } = props;
  const known = useQuery(products);
  const day = (field: "since_day" | "until_day", label: string) => (
    <TextField
      type="date"
      label={label}
      value={about[field]}
      onChange={({ target }) => target.value && onAbout({ ...about, [field]: target.value })}
      slotProps={{ inputLabel: { shrink: true } }}
    />
  );
  return (
    <Stack direction="row" spacing={1} useFlexGap role="search" sx={{ flexWrap: "wrap" }}>
      {day("since_day", t("history.since"))}
      {day("until_day", t("history.until"))}
      <TextField
        select
        label={t("history.product")}
        value={about.product_id ?? ""}
        onChange={(event) => onAbout({ ...about, product_id: event.target.value || undefined })}
        sx={{ minWidth: 180 }}
      >
        <MenuItem value="">{t("history.all")}</MenuItem>
        {known.data?.products.map((one: Schemas["Product"]) => (
          <MenuItem key={one.id} value={one.id}>
            {name(one.product_name)}
          </MenuItem>
        ))}
      </TextField>
      <ToggleButtonGroup
        exclusive
        value={props.period}
        onChange={(_event, chosen: Period | null) => chosen && props.onPeriod(chosen)}
        aria-label={t("figures.period")}
      >
        {PERIODS.map((one) => (
          <ToggleButton key={one} value={one}>
            {t(`period.${one}`)}
          </ToggleButton>
        ))}
      </ToggleButtonGroup>
    </Stack>
  );
}
