import Button from "@mui/material/Button";
import Card from "@mui/material/Card";
import CardActionArea from "@mui/material/CardActionArea";
import CardContent from "@mui/material/CardContent";
import Stack from "@mui/material/Stack";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "react-router";
import type { Schemas } from "../api/client";
import { info, openSessions, yieldOf } from "../api/queries";
import { type Key, useWords } from "../i18n";
import { Loaded, Page } from "../ui/Page";
import { Section } from "../ui/Section";
import { dayOf } from "./day";
import { useScanner } from "./scanner";

/** What is under way, what today gave, and the way to the next product; a scan here starts it at once. */
export function Home() {
  const { t } = useWords();
  const navigate = useNavigate();
  useScanner((text) => navigate("/scan", { state: { text } }));
  return (
    <Page title={t("home.title")}>
      <Button variant="contained" size="large" href="#/scan" sx={{ minHeight: 96, fontSize: "1.5rem" }}>
        {t("home.scan")}
      </Button>
      <Today />
      <Resume />
    </Page>
  );
}

function Today() {
  const { t, number } = useWords();
  const agent = useQuery(info);
  const day = agent.data && dayOf(agent.data.now, agent.data.time_zone);
  const counts = useQuery({ ...yieldOf(day ?? ""), enabled: day !== undefined });
  return (
    <Section title={t("home.today")}>
      <Loaded of={counts}>
        {({ total }) => {
          const shown: [Key, number][] = [
            ["home.completed", total.completed],
            ["verdict.OK", total.ok],
            ["verdict.NG", total.ng],
            ["verdict.HOLD", total.review],
          ];
          return (
            <Stack direction="row" spacing={1} useFlexGap sx={{ flexWrap: "wrap" }}>
              {shown.map(([word, count]) => (
                <Card key={word} variant="outlined" sx={{ flex: "1 1 7rem" }}>
                  <CardContent sx={{ textAlign: "center" }}>
                    <Typography variant="h4" component="p" data-testid={word}>
                      {number(count)}
                    </Typography>
                    <Typography>{t(word)}</Typography>
                  </CardContent>
                </Card>
              ))}
            </Stack>
          );
        }}
      </Loaded>
    </Section>
  );
}

function Resume() {
  const { t } = useWords();
  const open = useQuery(openSessions);
  return (
    <Section title={t("home.resume")}>
      <Loaded of={open}>
        {(sessions) => (
          <Stack spacing={1}>
            {sessions.length === 0 && <Typography>{t("home.nothing")}</Typography>}
            {sessions.map((one) => (
              <OpenSession key={one.id} session={one} />
            ))}
          </Stack>
        )}
      </Loaded>
    </Section>
  );
}

function OpenSession({ session }: { session: Schemas["SessionSummary"] }) {
  const { t, time } = useWords();
  return (
    <Card variant="outlined">
      <CardActionArea href={`#/sessions/${session.id}`} sx={{ px: 2 }}>
        <Stack
          direction="row"
          spacing={2}
          useFlexGap
          sx={{ alignItems: "center", flexWrap: "wrap", minHeight: 56 }}
        >
          <Typography sx={{ flexGrow: 1, fontWeight: 600 }}>
            {session.product_code} · {session.serial_no || session.batch_id || session.qr_code}
          </Typography>
          <Typography>{t(`status.${session.status}`)}</Typography>
          <Typography color="textSecondary">{time(session.started_at)}</Typography>
        </Stack>
      </CardActionArea>
    </Card>
  );
}
